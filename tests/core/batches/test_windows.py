from pathlib import Path

import h5py
import numpy as np
import pytest

from pectl.core.batches import windows
from pectl.core.batches.windows import WindowIndex, WindowReader, window_labels, window_places, window_starts
from pectl.core.storage.h5 import VOXEL_FILTER, create_h5, open_h5
from pectl.errors import ConfigError, StoreError


@pytest.mark.parametrize(
    ("n", "stride", "expected"),
    [
        (10, 10, [0]),
        (20, 10, [0, 10]),
        (23, 10, [0, 10, 13]),
        (11, 5, [0, 1]),
        (22, 5, [0, 5, 10, 12]),
        (12, 10, [0, 2]),
    ],
)
def test_last_window_is_shifted_to_fit(n: int, stride: int, expected: list[int]) -> None:
    assert window_starts(n, length=10, stride=stride).tolist() == expected


def test_places_along_the_body_by_hand() -> None:
    places = window_places(np.array([0, 10, 20, 30]), length=10)  # 40 slices, centres at 5, 15, 25 and 35
    np.testing.assert_allclose(places, [[-0.75, -0.15], [-0.25, -0.05], [0.25, 0.05], [0.75, 0.15]], rtol=1e-6)
    assert places.dtype == np.float32
    np.testing.assert_allclose(window_places(np.array([0]), length=10), [[0, 0]])


def test_study_shorter_than_a_window() -> None:
    with pytest.raises(ConfigError) as error:
        window_starts(9, length=10, stride=5)
    assert str(error.value) == (
        "windows.length = 10: expected at most as many slices as each study has, found a study of 9; "
        "set a smaller windows.length or preprocess.slice_spacing_mm"
    )


def test_label_is_any_positive_else_unknown_if_any_is() -> None:
    slices = np.array([0, 0, 1, -1, 0, -1, 0, 0], np.int8)
    labels = window_labels(slices, np.array([0, 1, 2, 3, 4, 6]), length=2)
    assert labels.tolist() == [0, 1, 1, -1, -1, 0]
    assert labels.dtype == np.int8


def test_index_keeps_studies_apart_and_known_leaves_out_the_unknown() -> None:
    labels = {"a": np.array([0, 0, 1], np.int8), "b": np.array([-1, 0, 0, 0, 0], np.int8)}
    index = WindowIndex.build(labels, length=2, stride=2)
    assert index.uids == ("a", "b")
    assert index.study.tolist() == [0, 0, 1, 1, 1]
    assert index.start.tolist() == [0, 1, 0, 2, 3]
    assert index.slice_labels.tolist() == [[0, 0], [0, 1], [-1, 0], [0, 0], [0, 0]]
    assert index.label.tolist() == [0, 1, -1, 0, 0]
    known = index.known()
    assert len(known) == 4
    assert known.start.tolist() == [0, 1, 2, 3]


@pytest.fixture
def volumes(tmp_path: Path) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {f"s{i}": rng.integers(-1024, 3000, (12, 8, 8), np.int16) for i in range(5)}
    for uid, hu in made.items():
        with create_h5(tmp_path / f"{uid}.h5") as file:
            file.create_dataset("hu", data=hu, chunks=(1, 8, 8), **VOXEL_FILTER)
    return made


def test_reader_returns_the_voxels_in_any_order_and_keeps_few_files_open(
    tmp_path: Path, volumes: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "OPEN_FILES", 2)
    reader = WindowReader(lambda uid: tmp_path / f"{uid}.h5", length=4)
    rng = np.random.default_rng(1)
    for _ in range(3):
        uids = [f"s{i}" for i in rng.integers(0, 5, 20)]
        starts = rng.integers(0, 9, 20).tolist()
        batch = reader.read(uids, starts)
        assert batch.dtype == np.int16
        expected = [volumes[uid][start : start + 4] for uid, start in zip(uids, starts, strict=True)]
        np.testing.assert_array_equal(batch, expected)
        assert len(reader._volumes._open) == 2


def test_what_a_study_links_to_is_looked_at_when_it_is_opened_first(
    tmp_path: Path, volumes: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "OPEN_FILES", 1)
    opened = []

    def noting(path: Path, *, made_by: str, known: bool) -> h5py.File:
        opened.append((path.stem, known))
        return open_h5(path, made_by=made_by, known=known)

    monkeypatch.setattr(windows, "open_h5", noting)
    reader = WindowReader(lambda uid: tmp_path / f"{uid}.h5", length=4)
    reader.read(["s0", "s1", "s1", "s0"], [0, 0, 1, 2])
    assert opened == [("s0", False), ("s1", False), ("s0", True)]


def test_reader_names_a_missing_study(tmp_path: Path) -> None:
    reader = WindowReader(lambda uid: tmp_path / f"{uid}.h5", length=4)
    with pytest.raises(StoreError, match=r"x\.h5: expected a whole HDF5 file, found no such file"):
        reader.read(["x"], [0])


def test_reader_names_a_study_without_voxels(tmp_path: Path) -> None:
    with create_h5(tmp_path / "x.h5") as file:
        file["other"] = 1
    reader = WindowReader(lambda uid: tmp_path / f"{uid}.h5", length=4)
    with pytest.raises(StoreError, match=r"x\.h5: expected a whole HDF5 file, found a damaged one"):
        reader.read(["x"], [0])


def test_reader_names_a_study_with_a_damaged_chunk(tmp_path: Path, volumes: dict[str, np.ndarray]) -> None:
    import h5py

    path = tmp_path / "s0.h5"
    with h5py.File(path) as file:
        chunk = file["hu"].id.get_chunk_info(3)
    damaged = bytearray(path.read_bytes())
    damaged[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(damaged)
    reader = WindowReader(lambda uid: tmp_path / f"{uid}.h5", length=4)
    np.testing.assert_array_equal(reader.read(["s0"], [4])[0], volumes["s0"][4:8])
    with pytest.raises(StoreError, match=r"s0\.h5: expected a whole HDF5 file, found a damaged one"):
        reader.read(["s0"], [1])
