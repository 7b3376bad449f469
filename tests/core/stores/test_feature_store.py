import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from pectl.core.batches.sequences import collate
from pectl.core.storage.h5 import create_h5
from pectl.core.stores.feature_store import FeatureStore, StudySequence, feature_digest, read_sequence, write_sequence
from pectl.core.stores.source import SourceSlices
from pectl.errors import StoreError


def sequence(n: int = 4, uid: str = "1.2.3") -> StudySequence:
    rng = np.random.default_rng(n)
    source = SourceSlices(
        sop_instance_uid=np.array(["1.1", "1.2", "1.3"], object),
        position_mm=np.array([0.0, 1.0, 2.0]),
        label=np.array([0, 1, -1], np.int8),
        grid_index=np.array([-1, 0, 1], np.int32),
        image_position_patient=np.zeros((3, 3)),
    )
    return StudySequence(
        uid=uid,
        features=rng.random((n, 6), np.float32),
        window_start=np.arange(n) * 5,
        window_logit=rng.random(n, np.float32),
        window_label=np.array([0, 1, -1, 0, 1, 1][:n], np.int8),
        slice_logit=rng.random(5 * n + 5, np.float32),
        window_length=10,
        source=source,
    )


def test_sequence_comes_back(tmp_path: Path) -> None:
    made = sequence()
    write_sequence(tmp_path / "a.h5", made)
    read = read_sequence(tmp_path / "a.h5")
    assert (read.uid, read.window_length) == ("1.2.3", 10)
    for name in ("features", "window_start", "window_logit", "window_label", "slice_logit"):
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))
        assert getattr(read, name).dtype == getattr(made, name).dtype
    for field in dataclasses.fields(SourceSlices):
        np.testing.assert_array_equal(getattr(read.source, field.name), getattr(made.source, field.name))


def test_truncated_and_incomplete_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_sequence(path, sequence())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(StoreError, match=r"a\.h5: expected a whole HDF5 file, found a damaged one"):
        read_sequence(path)
    with create_h5(path) as file:
        file.attrs.update(study_uid="1", window_length=10)
    with pytest.raises(StoreError, match=r"a\.h5: expected a whole HDF5 file, found a damaged one"):
        read_sequence(path)


def test_nothing_half_written(tmp_path: Path) -> None:
    with pytest.raises(KeyError), create_h5(tmp_path / "a.h5") as file:
        file["features"] = file["missing"]
    assert list(tmp_path.iterdir()) == []


def test_digest_tells_store_stage1_and_windows_apart() -> None:
    given = {"store": "a", "stage1": "b", "windows": "c"}
    digests = {feature_digest(**given | {name: "x"}) for name in given} | {feature_digest(**given)}
    assert len(digests) == 4


def test_unfinished_store_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"features\.json: expected a file that pectl extract-features writes"):
        FeatureStore.open(tmp_path)


def test_collate_pads_and_masks() -> None:
    batch = collate([sequence(4), sequence(2)])
    assert batch.features.shape == (2, 4, 6)
    assert batch.mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert (batch.features[1, 2:] == 0).all()
    assert (batch.window_logit[1, 2:] == 0).all()
    assert batch.place[1, :2].flatten().tolist() == pytest.approx([-1 / 3, -0.025, 1 / 3, 0.025])  # 15 slices
    assert (batch.place[1, 2:] == 0).all()
    nan = float("nan")
    expected = torch.tensor([[0, 1, nan, 0], [0, 1, nan, nan]])
    torch.testing.assert_close(batch.window_label, expected, equal_nan=True)
