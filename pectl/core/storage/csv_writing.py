"""Write a table as CSV, in a third of the time that pandas takes, to the same bytes."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pectl.core.storage.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd

FLOAT_FORMAT = "%.9g"
"""Keeps float32 scores exactly, and clipped values on their side of 0.5."""
_BLOCK_ROWS = 65536
_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table without its index as UTF-8: numbers with a point as `FLOAT_FORMAT`, what is missing as nothing.

    Raises:
        StoreError: the disk is full or the folder can't be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(_quoted(list(map(str, table.columns)))) + "\n")
        for start in range(0, len(table), _BLOCK_ROWS):
            block = table.iloc[start : start + _BLOCK_ROWS]
            columns = [_texts(block[name]) for name in table.columns]
            file.write("\n".join(map(",".join, zip(*columns, strict=True))) + "\n")


def _texts(column: "pd.Series") -> list[str]:
    """Return a column's fields as they stand in the file."""
    if column.dtype.kind == "f":
        return _numbers(column.to_numpy(np.float64, na_value=np.nan))
    if column.dtype.kind in "iub":
        return list(map(str, column.to_list()))
    return _quoted(list(map(str, column.to_numpy(object, na_value=""))))


def _numbers(values: NDArray[np.float64]) -> list[str]:
    fields = (f"{FLOAT_FORMAT}," * values.size % tuple(values.tolist())).split(",")[:-1]
    return ["" if field == "nan" else field for field in fields] if np.isnan(values).any() else fields


def _quoted(fields: list[str]) -> list[str]:
    """Put fields into quotes that hold a comma, a quote or a line end."""
    if not _NEEDS_QUOTES.search(" ".join(fields)):
        return fields
    return ['"' + field.replace('"', '""') + '"' if _NEEDS_QUOTES.search(field) else field for field in fields]
