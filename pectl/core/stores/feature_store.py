"""The feature store: the window features of each study in slice order, as stage 2 reads them."""

from __future__ import annotations  # pandas is imported where a table is read

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pectl.core.storage.h5 import create_h5, read_h5
from pectl.core.storage.stamp import RESEARCH_USE, Stamp, digest_of, read_stamp
from pectl.core.stores.paths import study_path
from pectl.core.stores.source import SourceSlices, read_source, write_source
from pectl.core.stores.tables import exam_targets, read_splits, read_studies

if TYPE_CHECKING:
    import pandas as pd

FORMAT, VERSION = "pectl-feature-store", 2
MADE_BY = "pectl extract-features"
_ARRAYS = ("features", "window_start", "window_logit", "window_label", "slice_logit")


@dataclass(frozen=True, kw_only=True)
class StudySequence:
    """The N windows of one study of D grid slices, in slice order.

    Attributes:
        features: (N, F) float32.
        window_start: (N,) first grid slice of each window.
        window_logit: (N,) float32, stage 1's PE logit.
        window_label: (N,) int8, -1 unknown.
        slice_logit: (D,) float32, stage 1's PE logit of each grid slice, the largest over the windows that cover it.
        window_length: grid slices in a window.
        source: the original slices and their place on the grid.
    """

    uid: str
    features: NDArray[np.float32]
    window_start: NDArray[np.int64]
    window_logit: NDArray[np.float32]
    window_label: NDArray[np.int8]
    slice_logit: NDArray[np.float32]
    window_length: int
    source: SourceSlices


def feature_digest(*, store: str, stage1: str, windows: str) -> str:
    """Return the identity of features: of this store, by this stage 1, over these windows."""
    return digest_of("feature-store", VERSION, store, stage1, windows)


def write_sequence(path: Path, sequence: StudySequence) -> None:
    """Write a study's features as a whole or not at all."""
    with create_h5(path) as file:
        for name in _ARRAYS:
            file[name] = getattr(sequence, name)
        write_source(file, sequence.source)
        file.attrs.update(study_uid=sequence.uid, window_length=sequence.window_length, use=RESEARCH_USE)


def read_sequence(path: Path) -> StudySequence:
    """Read a study's features.

    Raises:
        StoreError: the file is missing, damaged or lacks a part.
    """
    with read_h5(path, made_by=MADE_BY) as file:
        return StudySequence(
            uid=str(file.attrs["study_uid"]),
            window_length=int(file.attrs["window_length"]),
            source=read_source(file),
            **{name: file[name][:] for name in _ARRAYS},
        )


@dataclass(frozen=True)
class FeatureStore:
    """A finished feature store."""

    path: Path
    stamp: Stamp
    age_at: int | None
    """The first of the two numbers of a feature that are stage 1's logits of age; None where it has none."""
    studies: pd.DataFrame
    splits: pd.Series[str]

    @classmethod
    def open(cls, path: Path) -> FeatureStore:
        """Open a feature store.

        Raises:
            StoreError: not a feature store, of another version, not finished, or its index is damaged.
        """
        stamp, described = read_stamp(path / "features.json", format=FORMAT, version=VERSION, made_by=MADE_BY)
        return cls(path, stamp, described.get("age_at"), read_studies(path), read_splits(path))

    @cached_property
    def split_fingerprint(self) -> str:
        """Return the digest of who is in which split."""
        from pectl.core.labels.splits import split_fingerprint

        return split_fingerprint(self.splits)

    def uids(self, split: str) -> list[str]:
        """Return the studies of a split, sorted."""
        return sorted(self.splits.index[self.splits == split])

    def read(self, uid: str) -> StudySequence:
        """Read a study's features.

        Raises:
            StoreError: its file is missing or damaged.
        """
        return read_sequence(study_path(self.path, uid))

    def exam_targets(self, uids: Iterable[str]) -> NDArray[np.float32]:
        """Return the nine exam labels as (n, 9), NaN where unknown or undefined."""
        return exam_targets(self.studies, uids)
