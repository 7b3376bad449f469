"""The slice labels of all studies of a store in one file: training counts its windows without opening every study."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pectl.core.storage.h5 import create_h5, read_h5
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.core.stores.paths import study_path
from pectl.core.stores.tables import MADE_BY
from pectl.errors import StoreError

NAME = "slice_labels.h5"

Labels = NDArray[np.int8]


def write_slice_labels(store: Path, uids: Iterable[str]) -> None:
    """Write the index from the studies' own files, with the size of each, by which a later change is known.

    Args:
        store: holds the files of the studies.
        uids: in the order to write them.

    Raises:
        StoreError: a study file is missing or damaged.
    """
    paths = {uid: study_path(store, uid) for uid in uids}
    labels = [_read_one(path) for path in paths.values()]
    with create_h5(store / NAME) as file:
        file.create_dataset("study_uid", data=list(paths), dtype=h5py.string_dtype("utf-8"), shape=len(paths))
        file["n_bytes"] = np.array([path.stat().st_size for path in paths.values()], np.int64)
        file["n_slices"] = np.array([len(one) for one in labels], np.int64)
        file["slice_label"] = np.concatenate([np.empty(0, np.int8), *labels])
        file.attrs["use"] = RESEARCH_USE


def read_slice_labels(store: Path, uids: Iterable[str]) -> dict[str, Labels]:
    """Return the (D,) slice labels of studies, in their order; a store without the index is read file by file.

    Raises:
        StoreError: the index or a study file is missing or damaged, or they don't belong together.
    """
    if not (store / NAME).exists():
        return {uid: _read_one(study_path(store, uid)) for uid in uids}
    with read_h5(store / NAME, made_by=MADE_BY) as file:
        indexed = dict(_entries(file))
    return {uid: _checked(store, uid, indexed) for uid in uids}


def _read_one(path: Path) -> Labels:
    with read_h5(path, made_by=MADE_BY) as file:
        return np.asarray(file["slice_label"][:], np.int8)


def _entries(file: h5py.File) -> Iterator[tuple[str, tuple[int, Labels]]]:
    labels, ends = file["slice_label"][:], np.cumsum(file["n_slices"][:])
    spans = pairwise([0, *ends.tolist()])
    for uid, n_bytes, (first, end) in zip(
        file["study_uid"].asstr()[:], file["n_bytes"][:].tolist(), spans, strict=True
    ):
        yield str(uid), (n_bytes, labels[first:end])


def _checked(store: Path, uid: str, indexed: dict[str, tuple[int, Labels]]) -> Labels:
    """Return the labels of a study whose file is the one that was indexed."""
    path = study_path(store, uid)
    n_bytes, labels = indexed.get(uid, (-1, np.empty(0, np.int8)))
    found = path.stat().st_size if path.exists() else None
    if found != n_bytes:
        _read_one(path)  # where it is missing or damaged, this is said
        raise StoreError(
            where=path,
            expected=f"the file that {NAME} was made from, of {n_bytes} bytes" if n_bytes >= 0 else f"it in {NAME}",
            found=f"one of {found} bytes",
            fix=f"run {MADE_BY} again with the same arguments; only what is missing is done anew",
        )
    return labels
