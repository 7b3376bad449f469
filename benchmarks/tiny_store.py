"""Study stores of tiny volumes, with the slice counts and labels of RSPECT's 7,279 studies where its table is there.

The table is `rspect/exam_labels_7279.csv` of the folder that PECTL_REAL_DATA names; else both are drawn.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pectl.config import Config, PreprocessConfig
from pectl.core.intake.cohort import Cohort
from pectl.core.intake.findings import Finding
from pectl.core.intake.store_index import begin_store, finish_store
from pectl.core.intake.tasks import NO_LABELS, Sources, verdict_path
from pectl.core.intake.verdicts import Verdict, write_verdict
from pectl.core.labels.names import STUDY, STUDY_LABELS
from pectl.core.places.digest import NO_PLACES
from pectl.core.stores.paths import study_path
from pectl.core.stores.source import SourceSlices
from pectl.core.stores.study_store import Study, write_study

SIDE = 32
CONFIG = Config(preprocess=PreprocessConfig(in_plane_px=SIDE))
_SLICES, _USUAL = (120, 300), 230


def read_cohort(size: int) -> pd.DataFrame:
    """Return `n_slices`, `n_pe_slices` and STUDY_LABELS of `size` studies."""
    path = Path(os.environ.get("PECTL_REAL_DATA", "../shared/data")) / "rspect" / "exam_labels_7279.csv"
    table = pd.read_csv(path, dtype={STUDY: str}).set_index(STUDY) if path.exists() else _drawn(size)
    unknown = table["n_slices"] < 1
    table.loc[unknown, "n_slices"], table.loc[unknown, "n_pe_slices"] = _USUAL, 0
    return table.iloc[:size]


def _drawn(size: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    positive = rng.random(size) < 0.3
    table = pd.DataFrame(
        0, index=pd.Index([f"1.2.{number}" for number in range(size)], name=STUDY), columns=STUDY_LABELS
    )
    table["negative_exam_for_pe"] = (~positive).astype(int)
    table["rightsided_pe"] = table["rv_lv_ratio_lt_1"] = positive.astype(int)
    n_slices = rng.integers(*_SLICES, size)
    return table.assign(n_slices=n_slices, n_pe_slices=np.where(positive, n_slices // 5, 0))


def write_studies(store: Path, cohort: pd.DataFrame) -> None:
    """Begin a store, and write each study with its verdict, as `preprocess` does; its tables are left."""
    begin_store(store, CONFIG, labels=NO_LABELS, places=NO_PLACES)
    for uid, row in cohort.iterrows():
        exam = {name: int(row[name]) for name in STUDY_LABELS}
        study = blank_study(str(uid), int(row["n_slices"]), n_pe=int(row["n_pe_slices"]), exam=exam)
        write_study(study_path(store, str(uid)), study)
        verdict = Verdict(study=str(uid), series=f"{uid}.1", choice="", findings=(Finding("accepted", ""),))
        write_verdict(verdict_path(store, str(uid)), verdict)


def link_studies(store: Path, largest: Path, cohort: pd.DataFrame) -> None:
    """Begin a store of some studies of a larger one, whose files it shares."""
    begin_store(store, CONFIG, labels=NO_LABELS, places=NO_PLACES)
    for place in (study_path, verdict_path):
        for uid in map(str, cohort.index):
            place(store, uid).parent.mkdir(exist_ok=True)
            place(store, uid).hardlink_to(place(largest, uid))


def finish(store: Path) -> None:
    """Write the tables of a store whose studies are there, as `preprocess` does at its end."""
    cohort = Cohort(patient=dict.fromkeys((path.stem for path in (store / "studies").glob("*.h5")), ""))
    finish_store(store, cohort, CONFIG, Sources(()), [], places=NO_PLACES)


def blank_study(uid: str, slices: int, *, n_pe: int = 0, exam: Mapping[str, int] | None = None) -> Study:
    """Return a study of 0 HU, PE on `n_pe` slices in the middle."""
    label = np.zeros(slices, np.int8)
    label[(slices - n_pe) // 2 :][:n_pe] = 1
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
        hu=np.zeros((slices, SIDE, SIDE), np.int16),
        slice_position_mm=source.position_mm,
        slice_label=label,
        spacing_mm=(1.0, 1.0, 1.0),
        affine=np.eye(4),
        source=source,
        source_shape=(SIDE, SIDE),
        source_pixel_spacing_mm=(1.0, 1.0),
        source_orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        exam_labels=dict.fromkeys(STUDY_LABELS) | dict(exam or {}),
    )
