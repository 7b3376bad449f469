"""Read a CSV whose rows all have one width, as RSPECT's tables have, much faster than a CSV parser."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_COMMA = ord(",")
_BLOCK_ROWS = 8192
"""Rows looked at together: half a megabyte, which stays in the processor's cache."""

Bytes = NDArray[np.uint8]


def read_fixed_width(path: Path, columns: list[str]) -> pd.DataFrame | None:
    """Read columns of a plain CSV: fields of one character as int8 digits, longer ones as text.

    Returns:
        None where the file has rows of several widths, quotes, spaces, empty fields or anything but ASCII:
        a CSV parser has to read it then. The same for a field of one character that isn't a digit.

    Raises:
        OSError: the file can't be read.
    """
    raw = path.read_bytes()
    start = raw.find(b"\n") + 1
    width = raw.find(b"\n", start) + 1 - start
    if start == 0 or width <= 0 or (len(raw) - start) % width or not raw.isascii():
        return None
    rows = np.frombuffer(raw, np.uint8, offset=start).reshape(-1, width)
    names = raw[:start].decode().rstrip("\r\n").split(",")
    fields = _fields(rows, names)
    if fields is None or not _same_form(rows):
        return None
    digits = [name for name in columns if fields[name].stop - fields[name].start == 1]
    values = _digits(rows, [fields[name].start for name in digits])
    if values.size and (values.min() < 0 or values.max() > 9):
        return None
    table = dict(zip(digits, values, strict=True))
    texts = {name: _text(rows[:, fields[name].start : fields[name].stop + 1]) for name in columns if name not in digits}
    return pd.DataFrame({name: texts[name] if name in texts else pd.Series(table[name]) for name in columns})


def _fields(rows: Bytes, names: list[str]) -> dict[str, slice] | None:
    """Return where each column lies in a row, by the commas of the first row."""
    line = rows[0].tobytes().rstrip(b"\r\n")
    stops = [*np.flatnonzero(np.frombuffer(line, np.uint8) == _COMMA).tolist(), len(line)]
    starts = [0, *(stop + 1 for stop in stops[:-1])]
    is_empty = any(start == stop for start, stop in zip(starts, stops, strict=True))
    if len(stops) != len(names) or is_empty or min(line) < _COMMA:
        return None
    return {name: slice(start, stop) for name, start, stop in zip(names, starts, stops, strict=True)}


def _same_form(rows: Bytes) -> bool:
    """Tell whether commas, and what sorts before them, stand in the same places in all rows."""
    form = np.minimum(rows[0], _COMMA + 1)
    return all(
        bool((np.minimum(rows[start : start + _BLOCK_ROWS], _COMMA + 1) == form).all())
        for start in range(0, len(rows), _BLOCK_ROWS)
    )


def _digits(rows: Bytes, places: list[int]) -> NDArray[np.int8]:
    """Return the digits at some places of each row, (places, rows)."""
    out = np.empty((len(places), len(rows)), np.int8)
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS]
        out[:, start : start + len(block)] = block[:, places].T.view(np.int8) - ord("0")
    return out


def _text(field: Bytes) -> "pd.Series[str]":
    """Return the text of a field given with the separator after it; equal neighbours share one string."""
    values = np.ascontiguousarray(field).view(f"S{field.shape[1]}").ravel()
    new = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    texts = values[new].tobytes().decode().split(chr(field[0, -1]))[:-1]
    return pd.Series(np.repeat(np.array(texts, object), np.diff(new, append=len(values))), dtype=object)
