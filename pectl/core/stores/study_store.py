"""The study store: one HDF5 file per study with its lung box in HU, and the index files of the cohort."""

from __future__ import annotations  # pandas is imported where a table is read

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pectl.config import PreprocessConfig
from pectl.core.labels.names import STUDY, STUDY_LABELS
from pectl.core.storage.h5 import VOXEL_FILTER, create_h5, read_h5
from pectl.core.storage.stamp import RESEARCH_USE, Stamp, digest_of, read_stamp
from pectl.core.stores.paths import study_path
from pectl.core.stores.source import SourceSlices, read_source, write_source
from pectl.core.stores.tables import MADE_BY, exam_targets, read_splits, read_studies
from pectl.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

FORMAT, VERSION = "pectl-study-store", 1
ROW_COLUMNS = (
    STUDY,
    "series_uid",
    "n_slices",
    "n_source_slices",
    "slice_step_mm",
    "vessel_hu",
    "spacing",
    "flags",
    "kernel",
    "manufacturer",
    *STUDY_LABELS,
)
"""Columns of `studies.csv` that come from the study's own file."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """One study of the store.

    Attributes:
        hu: (D, S, S) int16 from feet to head, front to back, patient's right to left.
        slice_position_mm: (D,) along the slice normal.
        slice_label: (D,) int8 of the nearest source slice, -1 unknown.
        spacing_mm: (dz, dy, dx).
        affine: (4, 4) from (d, h, w, 1) to the LPS centre of the voxel in mm.
        source_shape: (rows, columns) of the original slices.
        source_pixel_spacing_mm: (row step, column step) of the original slices.
        source_orientation: ImageOrientationPatient.
        flags: codes of repairs and warnings.
        exam_labels: 0, 1 or None (unknown, undefined) by label.
        vessel_hu: of contrast in the great vessels; NaN where too little of them is shown, None in a store made before
            it was measured.
    """

    uid: str
    series_uid: str
    hu: NDArray[np.int16]
    slice_position_mm: NDArray[np.float64]
    slice_label: NDArray[np.int8]
    spacing_mm: tuple[float, float, float]
    affine: NDArray[np.float64]
    source: SourceSlices
    source_shape: tuple[int, int]
    source_pixel_spacing_mm: tuple[float, float]
    source_orientation: tuple[float, ...]
    flags: tuple[str, ...] = ()
    exam_labels: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(STUDY_LABELS))
    kernel: str = ""
    manufacturer: str = ""
    slice_step_mm: float = 0.0
    vessel_hu: float | None = math.nan


def store_digest(config: PreprocessConfig) -> str:
    """Return the identity of a store made with this preprocessing."""
    return digest_of("study-store", VERSION, config.digest())


def write_study(path: Path, study: Study) -> None:
    """Write a study file as a whole or not at all."""
    with create_h5(path) as file:
        chunks = (1, *study.hu.shape[1:])
        file.create_dataset("hu", data=study.hu, chunks=chunks, **VOXEL_FILTER)
        file["slice_position_mm"] = study.slice_position_mm
        file["slice_label"] = study.slice_label
        write_source(file, study.source)
        file.attrs.update(_attributes(study))


def _attributes(study: Study) -> dict[str, object]:
    return {
        "use": RESEARCH_USE,
        "study_uid": study.uid,
        "series_uid": study.series_uid,
        "spacing_mm": np.asarray(study.spacing_mm),
        "affine": study.affine,
        "source_shape": np.asarray(study.source_shape),
        "source_pixel_spacing_mm": np.asarray(study.source_pixel_spacing_mm),
        "source_orientation": np.asarray(study.source_orientation),
        "flags": ",".join(study.flags),
        "exam_labels": json.dumps(study.exam_labels),
        "kernel": study.kernel,
        "manufacturer": study.manufacturer,
        "slice_step_mm": study.slice_step_mm,
    } | ({} if study.vessel_hu is None else {"vessel_hu": study.vessel_hu})


def read_study(path: Path) -> Study:
    """Read a study file.

    Raises:
        StoreError: the file is missing, damaged or lacks a part.
    """
    with read_h5(path, made_by=MADE_BY) as file:
        return Study(
            hu=file["hu"][:],
            slice_position_mm=file["slice_position_mm"][:],
            slice_label=file["slice_label"][:],
            source=read_source(file),
            **_read_attributes(file.attrs),
        )


def _read_attributes(attrs: h5py.AttributeManager) -> dict[str, Any]:
    return {
        "uid": str(attrs["study_uid"]),
        "series_uid": str(attrs["series_uid"]),
        "spacing_mm": tuple(attrs["spacing_mm"].tolist()),
        "affine": np.asarray(attrs["affine"]),
        "source_shape": tuple(attrs["source_shape"].tolist()),
        "source_pixel_spacing_mm": tuple(attrs["source_pixel_spacing_mm"].tolist()),
        "source_orientation": tuple(attrs["source_orientation"].tolist()),
        "flags": tuple(code for code in str(attrs["flags"]).split(",") if code),
        "exam_labels": json.loads(str(attrs["exam_labels"])),
        "kernel": str(attrs["kernel"]),
        "manufacturer": str(attrs["manufacturer"]),
        "slice_step_mm": float(attrs["slice_step_mm"]),
        "vessel_hu": float(attrs["vessel_hu"]) if "vessel_hu" in attrs else None,
    }


def study_row(path: Path) -> dict[str, object]:
    """Return a study's line of `studies.csv` (all but the patient), read from its file without its voxels.

    Raises:
        StoreError: the file is missing, damaged or lacks a part.
    """
    with read_h5(path, made_by=MADE_BY) as file:
        attributes = _read_attributes(file.attrs)
        n_slices, n_source = len(file["hu"]), len(file["source/label"])
    row = (
        attributes
        | attributes["exam_labels"]
        | {
            STUDY: attributes["uid"],
            "n_slices": n_slices,
            "n_source_slices": n_source,
            "slice_step_mm": round(attributes["slice_step_mm"], 4),
            "vessel_hu": attributes["vessel_hu"],
            "spacing": "x".join(f"{value:.4g}" for value in attributes["spacing_mm"]),
            "flags": ",".join(attributes["flags"]),
        }
    )
    return {name: row[name] for name in ROW_COLUMNS}


def no_vessel_hu(where: object) -> StoreError:
    """Return what to raise where contrast is to be scaled, and a store is too old to tell how bright it is."""
    return StoreError(
        where=where,
        expected="the HU of its great vessels, which windows.vessels_to_hu needs",
        found="none: an older pectl preprocessed it",
        fix=f"run {MADE_BY} again, into a new folder, or leave contrast as it is: --set windows.vessels_to_hu=0",
    )


@dataclass(frozen=True)
class StudyStore:
    """A finished study store."""

    path: Path
    stamp: Stamp
    config: PreprocessConfig
    studies: pd.DataFrame
    splits: pd.Series[str]

    @classmethod
    def open(cls, path: Path) -> StudyStore:
        """Open a store.

        Raises:
            StoreError: not a store, of another version, not finished, or its index is damaged.
        """
        stamp, described = read_stamp(path / "store.json", format=FORMAT, version=VERSION, made_by=MADE_BY)
        try:
            config = PreprocessConfig.model_validate(described.get("preprocess"))
        except ValueError as error:
            raise StoreError(
                where=path / "store.json",
                expected="the configuration of the preprocessing",
                found="another one",
                fix=f"run {MADE_BY} again",
            ) from error
        return cls(path, stamp, config, read_studies(path), read_splits(path))

    @cached_property
    def split_fingerprint(self) -> str:
        """Return the digest of who is in which split."""
        from pectl.core.labels.splits import split_fingerprint

        return split_fingerprint(self.splits)

    def uids(self, split: str | None = None) -> list[str]:
        """Return the studies of a split, or all, sorted."""
        chosen = self.splits.index if split is None else self.splits.index[self.splits == split]
        return sorted(chosen)

    def study_path(self, uid: str) -> Path:
        """Return the file of a study."""
        return study_path(self.path, uid)

    def read_study(self, uid: str) -> Study:
        """Read a study.

        Raises:
            StoreError: its file is missing or damaged.
        """
        return read_study(self.study_path(uid))

    def exam_targets(self, uids: Iterable[str]) -> NDArray[np.float32]:
        """Return the nine exam labels of studies as (n, 9), NaN where unknown or undefined."""
        return exam_targets(self.studies, uids)
