"""The labels of RSPECT: their names, the competition's weights, and the table they come in."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pectl.core.labels.checks import may_repeat, missing_uids, raise_breaches, without_undefined, wrong_values
from pectl.core.labels.names import IMAGE, IMAGE_LABEL, STUDY, STUDY_LABELS
from pectl.core.labels.rules import breaches
from pectl.core.storage.csv_table import read_csv
from pectl.core.storage.fixed_width import read_fixed_width
from pectl.errors import LabelsError

_COLUMNS = (STUDY, IMAGE, IMAGE_LABEL, *STUDY_LABELS)


@dataclass(frozen=True)
class Labels:
    """A labels table in the layout of RSPECT's `train.csv`, checked.

    Attributes:
        exam: by StudyInstanceUID (sorted), `STUDY_LABELS` as 0.0, 1.0 or NaN (RV/LV of non-positive studies).
    """

    exam: pd.DataFrame
    _row_study: NDArray[np.intp]
    _row_image: NDArray[np.object_]
    _row_label: NDArray[np.int8]

    @cached_property
    def image(self) -> "pd.Series[int]":
        """Return `pe_present_on_image`, int8 by (StudyInstanceUID, SOPInstanceUID), in the table's order."""
        # from its parts: images are known to be unique, and finding the levels anew takes seconds
        index = pd.MultiIndex(
            levels=[self.exam.index, pd.Index(self._row_image)],  # type: ignore[list-item]  # the stubs know lists only
            codes=[self._row_study, np.arange(len(self._row_study))],  # type: ignore[list-item]
            names=[STUDY, IMAGE],
            verify_integrity=False,
        )
        return pd.Series(self._row_label, index=index, name=IMAGE_LABEL)

    def of_images(self, study_uid: str) -> dict[str, int]:
        """Return the image labels of one study by SOPInstanceUID; empty for a study without labels."""
        if study_uid not in self.exam.index:
            return {}
        order, start = self._rows_by_study
        study = int(np.searchsorted(self.exam.index.to_numpy(object), study_uid))
        rows = order[start[study] : start[study + 1]]
        return dict(zip(self._row_image[rows], self._row_label[rows].tolist(), strict=True))

    @cached_property
    def _rows_by_study(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        counts = np.bincount(self._row_study, minlength=len(self.exam))
        return np.argsort(self._row_study, kind="stable"), np.concatenate(([0], counts.cumsum()))


@dataclass(frozen=True)
class Breach:
    """A rule broken by a study's labels; the example names the row, the image or the study."""

    study: str
    example: str


def read_labels(path: Path) -> Labels:
    """Read a labels table and check every rule of the labels.

    Raises:
        InputMissingError: there is no such file.
        LabelsError: it isn't such a table, lacks columns, or breaks rules; all breaches are counted, with
            examples.
    """
    labels, broken = inspect_labels(path)
    raise_breaches(path, {rule: [found.example for found in breaches] for rule, breaches in broken.items()})
    return labels


def inspect_labels(path: Path) -> tuple[Labels, dict[str, list[Breach]]]:
    """Read a labels table and return it with every breach of a rule, rather than refuse it.

    Rows without a UID are left out, values other than 0 and 1 count as 0, and a repeated image as its last row says.

    Raises:
        InputMissingError: there is no such file.
        LabelsError: it isn't such a table, lacks columns, or holds no rows.
    """
    _require_columns(path, list(map(str, read_labels_csv(path, nrows=0))), _COLUMNS)
    table, faults = _read_table(path)
    study, uids = pd.factorize(table.pop(STUDY).to_numpy(object), sort=True)
    images = table.pop(IMAGE).to_numpy(object)
    present = table.pop(IMAGE_LABEL).to_numpy(np.int8)
    exam, differing = _by_study(table, study, uids)
    any_present = np.bincount(study, weights=present, minlength=len(uids)) > 0
    rules = {"labels of the study differ between its rows": differing, **breaches(exam, any_present)}
    faulty = {breach.study for found in faults.values() for breach in found}  # what follows is no second breach
    broken = {rule: [Breach(uid, uid) for uid in found if uid not in faulty] for rule, found in rules.items()}
    repeated = {f"{IMAGE} occurs more than once": _repeated(images, uids, study)}
    return Labels(without_undefined(exam), study, images, present), repeated | faults | broken


def _require_columns(path: Path, found: list[str], needed: tuple[str, ...]) -> None:
    missing = [column for column in needed if column not in found]
    if missing:
        raise LabelsError(
            where=path,
            expected="the columns of RSPECT's train.csv",
            found=f"no {', '.join(missing)}",
            fix="add the columns, or leave out --labels",
        )


def _read_table(path: Path) -> tuple[pd.DataFrame, dict[str, list[Breach]]]:
    """Read the needed columns compactly; where they don't fit, read text to name what is wrong in which row."""
    labels: dict[str, type] = dict.fromkeys((IMAGE_LABEL, *STUDY_LABELS), np.int8)
    types = labels | {STUDY: object, IMAGE: object}
    table = read_fixed_width(path, list(_COLUMNS))
    if table is None or table.dtypes.to_dict() != types:
        table = _parse_csv(path, types)
    if table.empty:
        raise LabelsError(where=path, expected="rows", found="none", fix="check the file")
    study = table[STUDY].to_numpy(object)
    faults = missing_uids(table, (STUDY, IMAGE)) | wrong_values(table, (IMAGE_LABEL, *STUDY_LABELS))
    broken = {
        rule: [Breach(_uid_or_empty(study[row]), example) for row, example in found.items()]
        for rule, found in faults.items()
        if found
    }
    return (table.dropna(subset=[STUDY, IMAGE]) if broken else table).astype(labels), broken


def _uid_or_empty(value: object) -> str:
    return value if isinstance(value, str) else ""


def _parse_csv(path: Path, types: dict[str, type]) -> pd.DataFrame:
    try:
        return read_labels_csv(path, usecols=list(_COLUMNS), dtype=types)
    except (ValueError, OverflowError):
        return read_labels_csv(path, usecols=list(_COLUMNS), dtype=str)


def read_labels_csv(path: Path, **options: Any) -> pd.DataFrame:  # noqa: ANN401 - pandas' own
    """Read a table of labels as it stands, unchecked; see `read_csv`."""
    return read_csv(path, what="a labels table", error=LabelsError, **options)


def _by_study(
    table: pd.DataFrame, study: NDArray[np.intp], uids: NDArray[np.object_]
) -> tuple[pd.DataFrame, list[str]]:
    """Return the labels of each study from its first row, and the studies in which other rows differ."""
    first = np.empty(len(uids), np.intp)
    first[study[::-1]] = np.arange(len(study))[::-1]
    differs = np.zeros(len(study), bool)
    exam = pd.DataFrame(index=pd.Index(uids, name=STUDY))
    for name in STUDY_LABELS:
        values = table[name].to_numpy()
        differs |= values != values[first][study]
        exam[name] = values[first].astype(np.float64)
    return exam, list(uids[np.unique(study[differs])])


def _repeated(images: NDArray[np.object_], uids: NDArray[np.object_], study: NDArray[np.intp]) -> list[Breach]:
    if not may_repeat(images):
        return []
    again = np.flatnonzero(pd.Series(images).duplicated())
    found = {str(images[row]): Breach(str(uids[study[row]]), str(images[row])) for row in again}
    return [found[image] for image in sorted(found)]
