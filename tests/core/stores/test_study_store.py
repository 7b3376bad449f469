"""The study store: what is written comes back, and what can't be read is named."""

import dataclasses
import errno
import json
import os
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pandas as pd
import pytest

from pectl.config import PreprocessConfig
from pectl.core.labels.names import EXAM_LABELS, STUDY_LABELS
from pectl.core.labels.splits import split_fingerprint
from pectl.core.storage.stamp import Stamp, write_stamp
from pectl.core.stores.paths import study_path
from pectl.core.stores.study_store import (
    FORMAT,
    ROW_COLUMNS,
    VERSION,
    StudyStore,
    read_study,
    store_digest,
    study_row,
    write_study,
)
from pectl.errors import StoreError
from tests.core.stores.studies import make_study


def assert_same(found, expected):
    for field in dataclasses.fields(expected):
        left, right = getattr(found, field.name), getattr(expected, field.name)
        if dataclasses.is_dataclass(right):
            assert_same(left, right)
        elif isinstance(right, np.ndarray):
            np.testing.assert_array_equal(left, right)
            assert left.dtype == right.dtype, field.name
        else:
            assert left == right, field.name


@pytest.fixture
def store(tmp_path):
    """A finished store of two studies."""
    rows = []
    for uid in ("1.2.3", "1.2.10"):
        write_study(study_path(tmp_path, uid), make_study(uid))
        rows.append(study_row(study_path(tmp_path, uid)) | {"patient_group": uid})
    pd.DataFrame(rows).to_csv(tmp_path / "studies.csv", index=False)
    (tmp_path / "splits.csv").write_text("StudyInstanceUID,split\n1.2.10,train\n1.2.3,test\n")
    config = PreprocessConfig(in_plane_px=32)
    stamp = Stamp(
        format=FORMAT,
        version=VERSION,
        digest=store_digest(config),
        made_from={"labels": "none"},
        config_digest="c",
    )
    write_stamp(tmp_path / "store.json", stamp, preprocess=config.model_dump(mode="json"))
    return tmp_path


def test_a_study_comes_back_as_it_was(tmp_path):
    study = make_study()
    write_study(tmp_path / "a.h5", study)
    assert_same(read_study(tmp_path / "a.h5"), study)


def test_a_study_without_labels_or_flags_comes_back(tmp_path):
    study = make_study(flags=(), exam_labels=dict.fromkeys(STUDY_LABELS), kernel="")
    write_study(tmp_path / "a.h5", study)
    assert_same(read_study(tmp_path / "a.h5"), study)


def test_the_file_as_the_format_says(tmp_path):
    write_study(tmp_path / "a.h5", make_study())
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["hu"].chunks == (1, 32, 32)
        assert file["hu"].dtype == np.int16
        assert list(file["hu"]._filters) == ["32001", "fletcher32"]  # blosc, and a checksum
        assert file["source/sop_instance_uid"].asstr()[1] == "1.2"
        assert file.attrs["flags"] == "padding,oblique"
        assert json.loads(file.attrs["exam_labels"])["central_pe"] == 1
        assert json.loads(file.attrs["exam_labels"])["rv_lv_ratio_lt_1"] is None
        assert file.attrs["use"] == "research use only, not for diagnosis"


def test_a_store_compressed_as_earlier_versions_did_is_read(tmp_path):
    study = make_study()
    write_study(tmp_path / "a.h5", study)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["hu"]
        earlier = hdf5plugin.Blosc2(cname="lz4", clevel=5, filters=hdf5plugin.Blosc2.SHUFFLE)
        file.create_dataset("hu", data=study.hu, chunks=(1, 32, 32), **earlier)
    assert_same(read_study(tmp_path / "a.h5"), study)


def test_every_flipped_bit_of_the_voxels_is_found(tmp_path):
    path = tmp_path / "a.h5"
    write_study(path, make_study())
    whole = path.read_bytes()
    with h5py.File(path) as file:
        chunk = file["hu"].id.get_chunk_info(1)
    for place in np.random.default_rng(0).integers(chunk.size, size=40):
        damaged = bytearray(whole)
        damaged[chunk.byte_offset + int(place)] ^= 1 << int(place % 8)
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="found a damaged one"):
            read_study(path)


def test_a_study_of_before_vessels_were_measured_says_so(tmp_path):
    write_study(tmp_path / "a.h5", make_study())
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file.attrs["vessel_hu"]
    study = read_study(tmp_path / "a.h5")
    assert study.vessel_hu is None
    assert study_row(tmp_path / "a.h5")["vessel_hu"] is None
    write_study(tmp_path / "b.h5", study)
    assert_same(read_study(tmp_path / "b.h5"), study)


def test_a_line_of_the_index(tmp_path):
    write_study(tmp_path / "a.h5", make_study())
    row = study_row(tmp_path / "a.h5")
    assert tuple(row) == ROW_COLUMNS
    assert row["n_slices"], row["n_source_slices"] == (4, 3)
    assert (row["spacing"], row["slice_step_mm"], row["flags"]) == ("1x0.75x0.5", 1.5, "padding,oblique")
    assert row["vessel_hu"] == 351.0
    assert (row["central_pe"], row["rv_lv_ratio_lt_1"]) == (1, None)


def test_a_store_opens(store):
    opened = StudyStore.open(store)
    assert opened.path == store
    assert opened.config == PreprocessConfig(in_plane_px=32)
    assert opened.stamp.digest == store_digest(opened.config)
    assert opened.uids() == ["1.2.10", "1.2.3"]
    assert opened.uids("test") == ["1.2.3"]
    assert opened.uids("val") == []
    assert opened.split_fingerprint == split_fingerprint(opened.splits)
    assert opened.study_path("1.2.3") == store / "studies" / "1.2.3.h5"
    assert opened.read_study("1.2.3").uid == "1.2.3"
    studies = opened.studies
    assert studies.loc["1.2.3", "patient_group"] == "1.2.3"
    assert studies.loc["1.2.10", "kernel"] == "B30f"
    assert studies.loc["1.2.3", "n_source_slices"] == 3


def test_exam_targets_keep_the_order_asked_for(store):
    targets = StudyStore.open(store).exam_targets(["1.2.3", "1.2.10"])
    assert targets.shape == (2, 9)
    assert targets.dtype == np.float32
    assert targets[0, EXAM_LABELS.index("central_pe")] == 1
    assert np.isnan(targets[0, EXAM_LABELS.index("rv_lv_ratio_lt_1")])


def test_the_digest_is_that_of_the_preprocessing():
    assert store_digest(PreprocessConfig()) == store_digest(PreprocessConfig())
    assert store_digest(PreprocessConfig()) != store_digest(PreprocessConfig(margin_mm=11.0))


def test_no_store(tmp_path):
    with pytest.raises(StoreError, match=r"store\.json: expected a file that pectl preprocess writes, found No such"):
        StudyStore.open(tmp_path)


def test_another_version(store):
    text = (store / "store.json").read_text().replace('"version": 1', '"version": 7')
    (store / "store.json").write_text(text)
    with pytest.raises(StoreError, match="expected pectl-study-store version 1, found pectl-study-store version 7"):
        StudyStore.open(store)


def test_a_stamp_without_the_configuration(store):
    data = json.loads((store / "store.json").read_text())
    del data["preprocess"]
    (store / "store.json").write_text(json.dumps(data))
    with pytest.raises(StoreError, match="expected the configuration of the preprocessing, found another one"):
        StudyStore.open(store)


@pytest.mark.parametrize("name", ["studies.csv", "splits.csv"])
def test_a_missing_table(store, name):
    (store / name).unlink()
    with pytest.raises(StoreError, match=rf"{name}: expected a table of a finished store .CSV., found no such file"):
        StudyStore.open(store)


def test_a_table_without_a_column(store):
    (store / "splits.csv").write_text("StudyInstanceUID\n1.2.3\n")
    with pytest.raises(StoreError, match=r"splits\.csv: expected all columns, found no split; run pectl preprocess"):
        StudyStore.open(store)


def test_a_missing_study_is_named(store):
    with pytest.raises(StoreError, match=r"studies/9\.h5: expected a whole HDF5 file, found no such file"):
        StudyStore.open(store).read_study("9")


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.9])
def test_a_truncated_study_is_named(store, keep):
    path = study_path(store, "1.2.3")
    content = path.read_bytes()
    path.write_bytes(content[: int(keep if keep in (0, 100) else keep * len(content))])
    with pytest.raises(StoreError, match=r"1\.2\.3\.h5: expected a whole HDF5 file, found a damaged one"):
        StudyStore.open(store).read_study("1.2.3")
    with pytest.raises(StoreError, match=r"1\.2\.3\.h5: expected a whole HDF5 file, found a damaged one"):
        study_row(path)


@pytest.mark.parametrize("part", ["slice_label", "source"])
def test_a_study_without_a_part_is_named(store, part):
    with h5py.File(study_path(store, "1.2.3"), "r+") as file:
        del file[part]
    with pytest.raises(StoreError, match=rf"1\.2\.3\.h5: expected a whole HDF5 file, found a damaged one .*{part}"):
        StudyStore.open(store).read_study("1.2.3")


def test_a_study_without_an_attribute_is_named(store):
    with h5py.File(study_path(store, "1.2.3"), "r+") as file:
        del file.attrs["affine"]
    with pytest.raises(StoreError, match=r"expected a whole HDF5 file, found a damaged one .*can't locate attribute"):
        study_row(study_path(store, "1.2.3"))


def test_a_table_that_may_not_be_read_is_not_to_be_made_again(store, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(
        StoreError, match=r"a file that can't be read \(Permission denied\); check who may read and write"
    ):
        StudyStore.open(store)
