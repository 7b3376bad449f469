"""The tables of a store: its studies with their labels, and who is in which split."""

from __future__ import annotations  # pandas is imported where a table is read

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pectl.core.labels.names import EXAM_LABELS, STUDY, STUDY_LABELS
from pectl.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

MADE_BY = "pectl preprocess"


def read_studies(store: Path) -> pd.DataFrame:
    """Read `studies.csv` by StudyInstanceUID; labels are 0.0, 1.0 or NaN.

    Raises:
        StoreError: it isn't there or lacks columns.
    """
    text = (STUDY, "series_uid", "spacing", "flags", "kernel", "manufacturer", "patient_group")
    types: dict[str, Any] = dict.fromkeys(text, str) | dict.fromkeys(STUDY_LABELS, np.float64)
    table = _read_table(store / "studies.csv", types)
    table[list(text)] = table[list(text)].fillna("")
    return table.set_index(STUDY)


def read_splits(store: Path) -> pd.Series[str]:
    """Read `splits.csv` as train, val or test by StudyInstanceUID.

    Raises:
        StoreError: it isn't there or lacks columns.
    """
    table = _read_table(store / "splits.csv", {STUDY: str, "split": str})
    return table.set_index(STUDY)["split"]


def _read_table(path: Path, types: dict[str, Any]) -> pd.DataFrame:
    from pectl.core.storage.csv_table import read_csv

    fix = f"run {MADE_BY} again"
    try:
        table = read_csv(
            path, what="a table of a finished store", error=StoreError, missing=StoreError, fix=fix, dtype=types
        )
    except ValueError as error:
        raise StoreError(where=path, expected="a table of a finished store", found=str(error), fix=fix) from error
    if missing := [name for name in types if name not in table.columns]:
        raise StoreError(
            where=path, expected="all columns", found=f"no {', '.join(missing)}", fix=f"run {MADE_BY} again"
        )
    return table


def exam_targets(studies: pd.DataFrame, uids: Iterable[str]) -> NDArray[np.float32]:
    """Return the nine exam labels of studies as (n, 9), NaN where unknown or undefined."""
    return studies.loc[list(uids), list(EXAM_LABELS)].to_numpy(np.float32)


def read_run_splits(run: Path) -> pd.Series[str]:
    """Read the splits that a run was trained with, by StudyInstanceUID.

    Raises:
        StoreError: the run has no `splits.csv`.
    """
    from pectl.core.storage.csv_table import read_csv

    path, fix = run / "splits.csv", "train the run again"
    what = "the splits that the run was trained with"
    table = read_csv(path, what=what, error=StoreError, missing=StoreError, fix=fix, dtype=str)
    if not {STUDY, "split"} <= set(table.columns):
        raise StoreError(where=path, expected=what, found=f"the columns {', '.join(table.columns)}", fix=fix)
    return table.set_index(STUDY)["split"]
