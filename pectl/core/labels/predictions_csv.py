"""Predictions of any model, read from one or more CSV files and matched with labels.

Three layouts are read: wide by study (StudyInstanceUID and the nine exam labels), wide by image (SOPInstanceUID
and pe_present_on_image, with the exam labels repeated or not), and the competition's `id,label`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from pectl.core.labels.checks import may_repeat
from pectl.core.labels.names import EXAM_LABELS, IMAGE, IMAGE_LABEL, STUDY, UNKNOWN
from pectl.core.labels.predictions import EXTERNAL, Predictions
from pectl.core.labels.truth import Truth
from pectl.core.storage.csv_table import read_csv
from pectl.errors import PredictionsError

_COMPETITION_COLUMNS = ["id", "label"]
_EXAM_ID = rf"^(?P<study>.+?)_(?P<name>{'|'.join(EXAM_LABELS)})$"
_N_EXAMPLES = 3
_N_COLUMNS = 12


def read_predictions(paths: Sequence[Path]) -> Predictions:
    """Read predictions; studies of images that no file names are found by `match_labels`.

    Args:
        paths: one file or more; studies and images of several are put together.

    Raises:
        InputMissingError: no such file.
        PredictionsError: no CSV, columns missing, duplicate rows, or values that aren't probabilities.
    """
    parts = [_read_one(path) for path in paths]
    if len(parts) == 1:
        return parts[0]
    exam = pd.concat([part.exam for part in parts])
    images = [part.image for part in parts if part.image is not None]
    image = pd.concat(images, ignore_index=True) if images else None
    where = " and ".join(str(path) for path in paths)
    for ids in (exam.index.to_series(), *(() if image is None else (image[IMAGE],))):
        _refuse_duplicates(where, ids)
    return Predictions(EXTERNAL, _exam_frame(exam), image=image)


def match_labels(predictions: Predictions, truth: Truth) -> tuple[Predictions, pd.DataFrame]:
    """Give images their study and label, and return what is known of the predicted studies.

    Raises:
        PredictionsError: predicted studies or images that have no label, or labelled images of a predicted
            study that have no prediction; the message says how many and gives examples.
    """
    if predictions.image is not None:
        predictions = replace(predictions, image=_match_images(predictions.image, truth.image))
    exams = predictions.exam.index
    _refuse("predictions", "studies that have exam labels", exams.difference(truth.exam.index), len(exams))
    return replace(predictions, notes=predictions.notes + _notes(predictions, truth)), truth.exam.reindex(
        pd.Index(predictions.uids(), name=STUDY)
    )


def _notes(predictions: Predictions, truth: Truth) -> tuple[str, ...]:
    """Say what is left out, and where the levels cover other studies."""
    labelled = set(truth.exam.index) | (set() if truth.image is None else set(truth.image.index.unique(level=0)))
    left_out = len(labelled - set(predictions.uids()))
    notes = [f"{left_out:,} labelled studies have no prediction and are left out"] if left_out else []
    if predictions.image is not None and not predictions.exam.empty:
        with_images = set(predictions.image[STUDY].unique())
        alone = len(set(predictions.exam.index) ^ with_images)
        sizes = f"{len(predictions.exam):,} studies have exam predictions, {len(with_images):,} have images"
        notes += [f"the levels cover different studies: {sizes}"] if alone else []
    return tuple(notes)


def _read_one(path: Path) -> Predictions:
    table = _read_table(path)
    if set(_COMPETITION_COLUMNS) <= set(table.columns):
        return _from_competition(path, table)
    if IMAGE in table.columns:
        return _from_image_rows(path, table)
    _require_columns(path, table, [STUDY, *EXAM_LABELS])
    return Predictions(EXTERNAL, _exam(path, table))


def _read_table(path: Path) -> pd.DataFrame:
    text = {STUDY: str, IMAGE: str, "id": str}
    table = read_csv(path, what="a table of predictions", error=PredictionsError, dtype=text)
    if table.empty:
        raise PredictionsError(where=path, expected="rows", found="none", fix="check how the file was written")
    _refuse_blank_ids(path, table)
    return table


def _refuse_blank_ids(path: Path, table: pd.DataFrame) -> None:
    for column in {STUDY, IMAGE, "id"} & set(table.columns):
        blank = np.flatnonzero(table[column].isna())
        if blank.size:
            lines = _examples(str(row + 2) for row in blank)
            raise PredictionsError(
                where=path,
                expected=f"{column} in every row",
                found=f"{blank.size} rows without: lines {lines}",
                fix="fill it in, or delete the rows",
            )


def _from_competition(path: Path, table: pd.DataFrame) -> Predictions:
    score = _probabilities(path, table, ["label"])["label"]
    _refuse_duplicates(path, table["id"])
    ids = table["id"].to_numpy(object)
    may_be_exam = np.fromiter((uid.endswith(EXAM_LABELS) for uid in ids), np.bool_, len(ids))
    parts = table["id"][may_be_exam].str.extract(_EXAM_ID).dropna()  # few, where there are images
    image = pd.DataFrame({STUDY: "", IMAGE: table["id"], "score": score}).drop(index=parts.index)
    exam = parts.assign(score=score[parts.index]).pivot_table("score", "study", "name")
    incomplete = exam.reindex(columns=list(EXAM_LABELS)).isna().any(axis=1)
    _refuse(path, "nine labels for every study", exam.index[incomplete], len(exam))
    return Predictions(EXTERNAL, _exam_frame(exam), image=_image_frame(image) if len(image) else None)


def _from_image_rows(path: Path, table: pd.DataFrame) -> Predictions:
    _require_columns(path, table, [IMAGE, IMAGE_LABEL])
    score = _probabilities(path, table, [IMAGE_LABEL])[IMAGE_LABEL]
    _refuse_duplicates(path, table[IMAGE])
    study = table[STUDY] if STUDY in table.columns else ""
    image = _image_frame(pd.DataFrame({STUDY: study, IMAGE: table[IMAGE], "score": score}))
    if not set(EXAM_LABELS) & set(table.columns):
        return Predictions(EXTERNAL, _exam_frame(pd.DataFrame(columns=list(EXAM_LABELS))), image=image)
    columns = [STUDY, *EXAM_LABELS]
    _require_columns(path, table, columns)
    return Predictions(EXTERNAL, _exam(path, table[columns].drop_duplicates()), image=image)


def _exam(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    _refuse_duplicates(path, table[STUDY])
    scores = _probabilities(path, table, list(EXAM_LABELS))
    return _exam_frame(scores.set_index(table[STUDY]))


def _exam_frame(exam: pd.DataFrame) -> pd.DataFrame:
    return exam[list(EXAM_LABELS)].astype(np.float64).rename_axis(index=STUDY, columns=None).sort_index()


def _image_frame(image: pd.DataFrame) -> pd.DataFrame:
    return image.assign(label=np.int8(UNKNOWN)).reset_index(drop=True)


def _match_images(image: pd.DataFrame, labels: pd.Series | None) -> pd.DataFrame:
    if labels is None:
        raise PredictionsError(
            where="labels",
            expected="labels of images, as there are predictions of images",
            found="none",
            fix="give a --labels with SOPInstanceUID and pe_present_on_image, or leave out the images",
        )
    index = cast(pd.MultiIndex, labels.index)
    uids, of_image, sops = index.levels[0], np.asarray(index.codes[0]), index.get_level_values(1)
    row = sops.get_indexer(pd.Index(image[IMAGE]))
    unlabelled = image.loc[row < 0, IMAGE]
    _refuse("predictions", "images that have labels", unlabelled, len(image))
    study = pd.Categorical.from_codes(of_image[row], categories=uids)  # millions of rows of thousands of studies
    elsewhere = image.loc[(image[STUDY] != "") & (image[STUDY] != study.astype(object)), IMAGE]
    _refuse("predictions", "images in the study that the labels name", elsewhere, len(image))
    missing = np.isin(of_image, np.unique(of_image[row]))
    missing[row] = False
    unpredicted = sops[missing].sort_values()
    _refuse("predictions", "a prediction for every labelled image of a predicted study", unpredicted, len(image))
    columns: dict[str, Any] = {STUDY: study, "label": labels.to_numpy(np.int8)[row]}
    return image.assign(**columns)


def _probabilities(path: Path, table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return the columns as numbers; name the lines where one isn't a probability."""
    scores = table[columns].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    wrong = ~((scores >= 0) & (scores <= 1))
    if wrong.to_numpy().any():
        row, column = np.argwhere(wrong.to_numpy())[0]
        value = table[columns].iloc[row, column]
        lines = [str(line + 2) for line in table.index[wrong.any(axis=1)]]  # the header is line 1
        raise PredictionsError(
            where=path,
            expected="probabilities in [0, 1]",
            found=f"{len(lines)} rows with others: lines {_examples(lines)} ({columns[column]} is "
            f"{'empty' if pd.isna(value) else value})",
            fix="correct them; a logit needs a sigmoid first",
        )
    return pd.DataFrame(scores)


def _require_columns(path: Path, table: pd.DataFrame, columns: list[str]) -> None:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise PredictionsError(
            where=path,
            expected=f"the columns {', '.join(columns)}; or id, label",
            found=f"no {', '.join(missing)} among {_examples(table.columns, _N_COLUMNS)}",
            fix="add them, or name them so",
        )


def _refuse_duplicates(where: object, ids: pd.Series) -> None:
    repeated = ids[ids.duplicated()] if may_repeat(ids.to_numpy(object)) else ids[:0]
    if len(repeated):
        raise PredictionsError(
            where=where,
            expected="one row for each id",
            found=f"{len(repeated)} rows that repeat one, such as {_examples(repeated.unique())}",
            fix="keep one row for each",
        )


def _refuse(where: object, expected: str, offenders: Iterable[str], n: int) -> None:
    names = list(offenders)
    if names:
        raise PredictionsError(
            where=where,
            expected=expected,
            found=f"{len(names)} without, of {n}: {_examples(names)}",
            fix="give predictions and labels of the same studies",
        )


def _examples(names: Iterable[str], most: int = _N_EXAMPLES) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
