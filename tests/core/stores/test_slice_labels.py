"""One file knows the slice labels of all studies, and is never believed over the studies' own files."""

import h5py
import numpy as np
import pytest

from pectl.core.stores.paths import study_path
from pectl.core.stores.slice_labels import NAME, read_slice_labels, write_slice_labels
from pectl.core.stores.study_store import write_study
from pectl.errors import StoreError
from tests.core.stores.studies import make_study

LABELS = {"1.3": [0, 1, 1, -1], "1.20": [-1, -1], "1.1": [0]}
"""In an order that is not that of their names."""


def small_study(uid, labels):
    n = len(labels)
    return make_study(
        uid,
        hu=np.zeros((n, 4, 4), np.int16),
        slice_position_mm=np.arange(float(n)),
        slice_label=np.array(labels, np.int8),
    )


@pytest.fixture
def store(tmp_path):
    for uid, labels in LABELS.items():
        write_study(study_path(tmp_path, uid), small_study(uid, labels))
    write_slice_labels(tmp_path, LABELS)
    return tmp_path


def as_lists(labels):
    return {uid: one.tolist() for uid, one in labels.items()}


@pytest.mark.parametrize("uids", [["1.3", "1.20", "1.1"], ["1.1", "1.3"], []])
def test_the_labels_asked_for_come_back_in_their_order(store, uids):
    found = read_slice_labels(store, uids)
    assert list(found) == uids
    assert as_lists(found) == {uid: LABELS[uid] for uid in uids}
    assert all(one.dtype == np.int8 for one in found.values())


def test_no_study_is_opened(store):
    for uid in LABELS:
        path = study_path(store, uid)
        path.write_bytes(bytes(path.stat().st_size))
    assert as_lists(read_slice_labels(store, LABELS)) == LABELS


def test_a_store_of_an_earlier_version_is_read_file_by_file(store):
    (store / NAME).unlink()
    assert as_lists(read_slice_labels(store, LABELS)) == LABELS


def test_a_store_without_studies_has_an_index_too(tmp_path):
    write_slice_labels(tmp_path, [])
    assert read_slice_labels(tmp_path, []) == {}


def test_another_file_under_the_name_of_a_study_is_told(store):
    path = study_path(store, "1.20")
    write_study(path, small_study("1.20", [0] * 40))
    with pytest.raises(StoreError, match=f"{path}.*bytes.*run pectl preprocess again"):
        read_slice_labels(store, LABELS)
    assert as_lists(read_slice_labels(store, ["1.1"])) == {"1.1": [0]}


def test_a_study_that_came_later_is_told(store):
    write_study(study_path(store, "1.4"), small_study("1.4", [1]))
    with pytest.raises(StoreError, match=f"expected it in {NAME}"):
        read_slice_labels(store, ["1.4"])


def test_a_missing_study_is_told(store):
    study_path(store, "1.3").unlink()
    with pytest.raises(StoreError, match=r"1\.3\.h5.*no such file"):
        read_slice_labels(store, ["1.3"])


def test_a_damaged_index_is_told(store):
    with h5py.File(store / NAME, "r+") as file:
        del file["n_bytes"]
    with pytest.raises(StoreError, match=NAME):
        read_slice_labels(store, LABELS)


def test_parts_of_unequal_length_are_damage(store):
    with h5py.File(store / NAME, "r+") as file:
        del file["n_bytes"]
        file["n_bytes"] = np.array([1])
    with pytest.raises(StoreError, match=NAME):
        read_slice_labels(store, LABELS)
