"""Boxes around emboli on single images, as a table gives them."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pectl.core.dicom.headers import SliceHeader
from pectl.core.labels.names import IMAGE, STUDY
from pectl.core.places.refusal import refused
from pectl.errors import LabelsError

if TYPE_CHECKING:
    import pandas as pd

SIDES = ("x", "y", "width", "height")
"""Columns of a box in pixels: x counts columns and y rows, from the upper left corner of the image."""
_SLACK_PX = 1.0  # a box may reach over the edge by so much: it was drawn on a screen


def read_boxes(path: Path) -> "pd.DataFrame":
    """Read a table of boxes, a row each, with the columns StudyInstanceUID, SOPInstanceUID and `SIDES`.

    Raises:
        InputMissingError: there is no such file.
        LabelsError: it isn't such a table, or a box has no size.
    """
    import pandas as pd

    from pectl.core.storage.csv_table import read_csv

    table = read_csv(path, what="a table of boxes", error=LabelsError, dtype=str)
    columns = [STUDY, IMAGE, *SIDES]
    if missing := [name for name in columns if name not in table]:
        raise LabelsError(
            where=path, expected=f"the columns {', '.join(columns)}", found=f"no {', '.join(missing)}", fix="add them"
        )
    numbers = table[list(SIDES)].apply(pd.to_numeric, errors="coerce")
    wrong = ~np.isfinite(numbers).all(axis=1) | (numbers[["width", "height"]] <= 0).any(axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0]) + 2
        raise LabelsError(where=path, expected="boxes with a size", found=f"none in line {row}", fix="correct the row")
    return table[[STUDY, IMAGE]].join(numbers.astype(np.float64))


_read_once = lru_cache(maxsize=1)(read_boxes)


def boxes_on(path: Path, headers: Sequence[SliceHeader]) -> NDArray[np.uint8]:
    """Return 1 in every pixel that a box touches, (n, rows, columns), of these slices of one study.

    Raises:
        StudyRefusedError: a box lies outside its image, or no box is on a slice used, or the table can't be used.
    """
    rows, columns = headers[0].rows, headers[0].columns
    marked = np.zeros((len(headers), rows, columns), np.uint8)
    place = {header.image_uid: k for k, header in enumerate(headers)}
    mine = _of_study(path, headers)
    found = mine[mine[IMAGE].isin(place)]
    if found.empty:
        raise refused("places_mismatch", "boxes on slices of the series used", f"none of {len(mine)}")
    for uid, x, y, width, height in found[[IMAGE, *SIDES]].itertuples(index=False):
        if min(x, y) < -_SLACK_PX or max(x + width - columns, y + height - rows) > _SLACK_PX:
            raise refused("places_mismatch", f"boxes inside {rows} rows and {columns} columns", "one beyond them")
        marked[place[uid], _pixels(y, height), _pixels(x, width)] = 1
    return marked


def boxes_elsewhere(path: Path, headers: Sequence[SliceHeader]) -> int:
    """Return how many boxes of the study are on other images than these."""
    mine = _of_study(path, headers)
    return int((~mine[IMAGE].isin([header.image_uid for header in headers])).sum())


def _of_study(path: Path, headers: Sequence[SliceHeader]) -> "pd.DataFrame":
    try:
        table = _read_once(path)
    except LabelsError as error:
        raise refused("places_unreadable", error.expected, error.found) from error
    return table[table[STUDY] == headers[0].study_uid]


def _pixels(start: float, size: float) -> slice:
    return slice(max(0, int(np.floor(start))), int(np.ceil(start + size)))
