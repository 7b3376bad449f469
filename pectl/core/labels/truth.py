"""What predictions are judged by: labels and properties of studies, and labels of images, from one or more tables.

A table is one of four by its columns: `train.csv` as RSPECT has it; rows of images with pe_present_on_image;
rows of studies with the nine exam labels; rows of studies with properties alone, such as `studies.csv` of a store.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd

from pectl.core.labels.checks import missing_uids, raise_breaches, without_undefined, wrong_values
from pectl.core.labels.names import (
    EXAM_LABELS,
    IMAGE,
    IMAGE_LABEL,
    PROVENANCE,
    QA_LABELS,
    RV_LV,
    SERIES,
    STUDY,
    STUDY_LABELS,
    SUBGROUP,
)
from pectl.core.labels.rules import breaches
from pectl.core.labels.table import read_labels, read_labels_csv
from pectl.errors import LabelsError

TEXT_PROPERTIES = ("kernel", "manufacturer", PROVENANCE, SUBGROUP, SERIES)
NUMBER_PROPERTIES = ("slice_step_mm", "embolus_volume_ml", "n_pe_slices")
"""What is known of studies beside their labels; below 0 is unknown."""


@dataclass(frozen=True)
class Truth:
    """Labels, checked.

    Attributes:
        exam: by StudyInstanceUID (sorted): the nine `EXAM_LABELS` as 0.0, 1.0 or NaN (not defined), then the
            QA labels and properties that the tables have; no rows where no table has exam labels.
        image: `pe_present_on_image` by (StudyInstanceUID, SOPInstanceUID); None where images have no labels.
    """

    exam: pd.DataFrame
    image: "pd.Series[int] | None" = None


def read_truth(paths: Sequence[Path]) -> Truth:
    """Read one table or more; what several say of a study is put together.

    Raises:
        InputMissingError: there is no such file.
        LabelsError: it isn't such a table, two tables hold labels of the same study or image, or labels break
            rules; all breaches are counted, with examples.
    """
    parts = [_read_table(path) for path in paths]
    where = " and ".join(str(path) for path in paths)
    exams = [part.exam for part in parts if part.exam is not None]
    images = [part.image for part in parts if part.image is not None]
    exam = pd.concat(exams).sort_index() if exams else pd.DataFrame(columns=list(EXAM_LABELS), dtype=np.float64)
    image = pd.concat(images) if len(images) > 1 else (images[0] if images else None)
    if len(parts) > 1:
        raise_breaches(where, _repeated(exam, image))
        _check_together(where, exam, image)
    return Truth(without_undefined(_with_properties(exam.rename_axis(STUDY), parts)), image)


@dataclass(frozen=True)
class _Part:
    """What one table holds; a table of studies with labels has its properties in `exam`."""

    exam: pd.DataFrame | None = None
    image: "pd.Series[int] | None" = None
    properties: pd.DataFrame | None = None


def _read_table(path: Path) -> _Part:
    columns = set(map(str, read_labels_csv(path, nrows=0)))
    if {STUDY, IMAGE, IMAGE_LABEL, *STUDY_LABELS} <= columns:
        labels = read_labels(path)
        return _Part(labels.exam, labels.image)
    readers: dict[tuple[str, ...], Callable[[Path, set[str]], _Part]] = {
        (STUDY, IMAGE, IMAGE_LABEL): _read_image_rows,
        (STUDY, *EXAM_LABELS): _read_exam_rows,
    }
    for needed, reader in readers.items():
        if set(needed) <= columns and (IMAGE not in columns or IMAGE in needed):
            return reader(path, columns)
    if STUDY in columns and IMAGE not in columns and columns & {*QA_LABELS, *TEXT_PROPERTIES, *NUMBER_PROPERTIES}:
        return _read_properties(path, columns)
    raise _not_a_labels_table(path, columns)


def _not_a_labels_table(path: Path, columns: set[str]) -> LabelsError:
    wanted = (STUDY, IMAGE, IMAGE_LABEL) if IMAGE in columns else (STUDY, *EXAM_LABELS)
    missing = [name for name in wanted if name not in columns]
    return LabelsError(
        where=path,
        expected=f"the columns {', '.join(wanted)}",
        found=f"no {', '.join(missing)}",
        fix="add the columns, or give a further --labels with them",
    )


def _read_image_rows(path: Path, columns: set[str]) -> _Part:
    """Read labels of images, and of their studies where all nine are there."""
    names = [name for name in STUDY_LABELS if name in columns] if set(EXAM_LABELS) <= columns else []
    table = _read(path, [STUDY, IMAGE], [IMAGE_LABEL, *names])
    index = pd.MultiIndex.from_frame(table[[STUDY, IMAGE]])
    image = pd.Series(table[IMAGE_LABEL].to_numpy(np.int8), index=index, name=IMAGE_LABEL)
    raise_breaches(path, _repeated(pd.DataFrame(), image))
    if not names:
        return _Part(image=image)
    exam = table[[STUDY, *names]].drop_duplicates().set_index(STUDY).astype(np.float64).sort_index()
    differing = exam.index[exam.index.duplicated()].unique().tolist()
    raise_breaches(path, {"labels of the study differ between its rows": differing})
    _check_together(path, exam, image)
    return _Part(exam, image)


def _read_exam_rows(path: Path, columns: set[str]) -> _Part:
    names = [name for name in STUDY_LABELS if name in columns]
    table = _read(path, [STUDY], names)
    exam = table.set_index(STUDY)[names].astype(np.float64).sort_index()
    raise_breaches(path, _repeated(exam, None) | breaches(exam, None))
    return _Part(exam, properties=_properties(path, columns))


def _read_properties(path: Path, columns: set[str]) -> _Part:
    names = [name for name in QA_LABELS if name in columns]
    table = _read(path, [STUDY], names).set_index(STUDY)
    raise_breaches(path, _repeated(table, None))
    found = _properties(path, columns)
    return _Part(properties=table.astype(np.float64) if found is None else found.join(table.astype(np.float64)))


def _read(path: Path, ids: list[str], labels: list[str]) -> pd.DataFrame:
    """Read ids as text and labels as 0 and 1; RV/LV may be blank where it isn't defined."""
    table = read_labels_csv(path, usecols=[*ids, *labels], dtype=dict.fromkeys(ids, str))
    if table.empty:
        raise LabelsError(where=path, expected="rows", found="none", fix="check the file")
    if set(EXAM_LABELS) <= set(labels):
        without_pe = (table[list(EXAM_LABELS[:2])].apply(pd.to_numeric, errors="coerce") == 1).any(axis=1)
        table[list(RV_LV)] = table[list(RV_LV)].mask(table[list(RV_LV)].isna() & without_pe.to_numpy()[:, None], 0)
    faults = missing_uids(table, tuple(ids)) | wrong_values(table, labels)
    raise_breaches(path, {rule: list(rows.values()) for rule, rows in faults.items()})
    return table


def _properties(path: Path, columns: set[str]) -> pd.DataFrame | None:
    texts = [name for name in TEXT_PROPERTIES if name in columns]
    numbers = [name for name in NUMBER_PROPERTIES if name in columns]
    if not texts and not numbers:
        return None
    table = read_labels_csv(path, usecols=[STUDY, *texts, *numbers], dtype=dict.fromkeys([STUDY, *texts], str))
    for name in numbers:
        values = pd.to_numeric(table[name], errors="coerce")
        wrong = np.flatnonzero(values.isna() & table[name].notna())
        raise_breaches(path, {f"{name} isn't a number": [f"row {row + 2}: {table[name].iloc[row]}" for row in wrong]})
        table[name] = values.where(values >= 0)
    return table.set_index(STUDY)


def _with_properties(exam: pd.DataFrame, parts: Sequence[_Part]) -> pd.DataFrame:
    """Add the columns that studies have in other tables; the first table that knows a value is right."""
    tables = [part.properties.reindex(exam.index) for part in parts if part.properties is not None]
    return reduce(
        lambda known, more: known.combine_first(more)[[*known, *more.columns.difference(known.columns)]], tables, exam
    )


def _repeated(exam: pd.DataFrame, image: "pd.Series[int] | None") -> dict[str, list[str]]:
    images = pd.Index([]) if image is None else image.index.get_level_values(1)
    ids = {STUDY: exam.index, IMAGE: images}
    return {
        f"{name} occurs more than once": found[found.duplicated()].unique().astype(str).tolist()
        for name, found in ids.items()
    }


def _check_together(where: object, exam: pd.DataFrame, image: "pd.Series[int] | None") -> None:
    """Check the rules between a study's labels, and between it and its images where both are known."""
    found = breaches(exam, None)
    if image is not None:
        top = image.groupby(level=0).max()
        both = exam[exam.index.isin(top.index)]
        found = breaches(both, np.asarray(top.loc[both.index] == 1, np.bool_)) | found
    raise_breaches(where, found)
