"""The rows of the speed table about growth: what a store of RSPECT's size costs before the first training step."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.timing import Row, processor_seconds
from pectl.config import Config
from pectl.core.labels.names import EXAM_LABELS, STUDY, STUDY_LABELS
from pectl.core.storage.stamp import Stamp, write_stamp
from pectl.core.stores.paths import study_path
from pectl.core.stores.slice_labels import NAME, write_slice_labels
from pectl.core.stores.source import SourceSlices
from pectl.core.stores.study_store import (
    FORMAT,
    VERSION,
    Study,
    StudyStore,
    store_digest,
    study_row,
    write_study,
)
from pectl.training.stage1 import index_windows

SIZES = (73, 728, 7_279)
"""RSPECT has 7,279 labelled studies."""
SLICES = (120, 300)
DISTINCT = 64


def growth_rows(folder: Path) -> list[Row]:
    """Measure opening a store and indexing its windows at three sizes, with and without its index of slice labels."""
    return [_opening(folder / f"store_{size}", size) for size in SIZES]


def _opening(path: Path, size: int) -> Row:
    write_store(path, size)
    with_index, without = processor_seconds(lambda: _windows(path), lambda: _file_by_file(path))
    return (
        f"store of {size} studies: open it and index its windows",
        f"{with_index:.2f} s",
        f"opening every study {without:.2f} s",
        f"{without / with_index:.1f}",
    )


def _windows(path: Path) -> int:
    store = StudyStore.open(path)
    return len(index_windows(store, store.uids(), Config()))


def _file_by_file(path: Path) -> None:
    index, aside = path / NAME, path / "aside"
    index.rename(aside)
    try:
        _windows(path)
    finally:
        aside.rename(index)


def write_store(path: Path, size: int) -> None:
    """Write a finished store of studies of as many slices as usual, but of one voxel each; files of 64 are linked."""
    rng, config = np.random.default_rng(0), Config().preprocess
    rows = []
    for number in range(size):
        uid, written = f"1.2.{number}", f"1.2.{number % DISTINCT}"
        if uid == written:
            write_study(study_path(path, uid), blank_study(uid, int(rng.integers(*SLICES)), rng))
        else:
            study_path(path, uid).hardlink_to(study_path(path, written))
        rows.append(study_row(study_path(path, written)) | {STUDY: uid, "patient_group": uid})
    studies = pd.DataFrame(rows)
    studies.to_csv(path / "studies.csv", index=False)
    studies[[STUDY]].assign(split="train").to_csv(path / "splits.csv", index=False)
    write_slice_labels(path, studies[STUDY])
    stamp = Stamp(
        format=FORMAT, version=VERSION, digest=store_digest(config), made_from={"labels": "none"}, config_digest="c"
    )
    write_stamp(path / "store.json", stamp, preprocess=config.model_dump(mode="json"))


def blank_study(uid: str, slices: int, rng: np.random.Generator) -> Study:
    label = (rng.random(slices) < 0.05).astype(np.int8)
    source = SourceSlices(
        sop_instance_uid=np.array([f"{uid}.{k}" for k in range(slices)], object),
        position_mm=np.arange(float(slices)),
        label=label,
        grid_index=np.arange(slices, dtype=np.int32),
        image_position_patient=np.zeros((slices, 3)),
    )
    return Study(
        uid=uid,
        series_uid=f"{uid}.1",
        hu=np.zeros((slices, 1, 1), np.int16),
        slice_position_mm=source.position_mm,
        slice_label=label,
        spacing_mm=(1.0, 1.0, 1.0),
        affine=np.eye(4),
        source=source,
        source_shape=(1, 1),
        source_pixel_spacing_mm=(1.0, 1.0),
        source_orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        exam_labels=dict.fromkeys(STUDY_LABELS, 0) | {EXAM_LABELS[0]: 1},
    )
