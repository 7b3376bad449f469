"""Read a CSV that may be anybody's: what is wrong with the file is said in one line."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pectl.core.storage.files import system_fault
from pectl.errors import InputMissingError, PectlError

if TYPE_CHECKING:
    import pandas as pd

Delimiter = Literal[",", "\t"]
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_UTF8 = "utf-8-sig"
_NEWLINE, _RETURN = b"\n\r"


def read_csv(
    path: Path,
    *,
    what: str,
    error: type[PectlError],
    missing: type[PectlError] = InputMissingError,
    fix: str | None = None,
    delimiter: Delimiter = ",",
    **options: Any,  # noqa: ANN401 - pandas' own
) -> "pd.DataFrame":
    """Read a CSV: UTF-8, commas, each column named once, as many fields in every row as in the header.

    A byte order mark, Windows line ends, blank lines and quoted fields are no matter.

    Args:
        path: the file.
        what: what it should be, for the message.
        error: raised where it is another file.
        missing: raised where there is none.
        fix: what to do in either case; by default it depends on what is wrong.
        delimiter: a tab for the tables of sets that have tabs.
        options: of `pandas.read_csv`; with `nrows=0` only the header is looked at.

    Raises:
        PectlError: of the kind `missing`: no such file, or a folder. Of the kind `error`: it can't be read, is empty,
            isn't UTF-8, has other delimiters, names a column twice, or has rows of another length.
        ValueError: values that don't fit the types of `options`.
    """
    import pandas as pd  # a second of imports that commands without tables needn't pay

    file = _Csv(path, f"{what} (CSV)", error, missing, fix, delimiter)
    try:
        data = file.header_line() if options.get("nrows") == 0 else file.whole()
        return pd.DataFrame(pd.read_csv(io.BytesIO(data), encoding=_UTF8, sep=delimiter, **options))
    except (csv.Error, pd.errors.ParserError) as broken:
        raise file.fault(f"a damaged one ({broken})", "write it anew") from broken


class _Csv:
    """One file, and the errors that are told about it."""

    def __init__(
        self,
        path: Path,
        expected: str,
        error: type[PectlError],
        missing: type[PectlError],
        fix: str | None,
        delimiter: Delimiter,
    ) -> None:
        self.path, self._expected, self._error, self._missing, self._fix = path, expected, error, missing, fix
        self._delimiter = delimiter

    def fault(self, found: str, fix: str) -> PectlError:
        return self._error(where=self.path, expected=self._expected, found=found, fix=self._fix or fix)

    def header_line(self) -> bytes:
        """Return the first line, checked."""
        line = self._read(self._first_line)
        self._check_header(line)
        return line

    def whole(self) -> bytes:
        """Return the whole file, checked."""
        data = self._read(self.path.read_bytes)
        self._check_header(data.partition(b"\n")[0])
        try:
            data.isascii() or data.decode(_UTF8)
        except UnicodeDecodeError as broken:
            line = data.count(b"\n", 0, broken.start) + 1
            raise self.fault(f"another encoding (line {line})", "save it as UTF-8") from broken
        self._check_rows(data)
        return data

    def _first_line(self) -> bytes:
        with self.path.open("rb") as file:
            return file.readline()

    def _read(self, read: Callable[[], bytes]) -> bytes:
        try:
            data = read()
        except (FileNotFoundError, IsADirectoryError) as gone:
            found = "a folder" if self.path.is_dir() else "no such file"
            raise self._missing(
                where=self.path, expected=self._expected, found=found, fix=self._fix or "check the path"
            ) from gone
        except OSError as broken:
            fault = system_fault(broken)  # what stands in the file is no matter then, nor who wrote it
            raise self._error(
                where=self.path,
                expected=self._expected,
                found=f"a file that can't be read ({broken.strerror})",
                fix=fault[1] if fault else self._fix or "check permissions and disk",
            ) from broken
        if not data.strip():
            raise self.fault("an empty file", "check how it was written")
        return data

    def _check_header(self, line: bytes) -> None:
        names = self._names(line)
        for character, name in _DELIMITERS.items():
            if len(names) == 1 and character in names[0]:
                raise self.fault(f"fields parted by {name}", f"save it with {_DELIMITERS[self._delimiter]}")
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise self.fault(f"the column {', '.join(repeated)} more than once", "keep one of each")

    def _names(self, line: bytes) -> list[str]:
        try:
            return next(csv.reader([line.decode(_UTF8).rstrip("\r\n")], delimiter=self._delimiter), [])
        except UnicodeDecodeError as broken:
            raise self.fault("another encoding (line 1)", "save it as UTF-8") from broken

    def _check_rows(self, data: bytes) -> None:
        ragged = (_first_ragged_quoted if b'"' in data else _first_ragged)(data, self._delimiter)
        if ragged is not None:
            line, fields, width = ragged
            raise self.fault(f"{fields} fields in line {line}, {width} in the header", "give every row all fields")


def _first_ragged(data: bytes, delimiter: Delimiter) -> tuple[int, int, int] | None:
    """Return the first line of another number of fields than the header: its number, its fields, the header's."""
    raw = np.frombuffer(data if data.endswith(b"\n") else data + b"\n", np.uint8)
    ends = np.flatnonzero(raw == _NEWLINE)
    starts = np.concatenate(([0], ends[:-1] + 1))
    fields = np.diff(np.flatnonzero(raw == ord(delimiter)).searchsorted(ends), prepend=0) + 1
    blank = (ends == starts) | ((ends == starts + 1) & (raw[starts] == _RETURN))
    other = np.flatnonzero((fields != fields[blank.argmin()]) & ~blank)
    return (int(other[0]) + 1, int(fields[other[0]]), int(fields[blank.argmin()])) if other.size else None


def _first_ragged_quoted(data: bytes, delimiter: Delimiter) -> tuple[int, int, int] | None:
    rows = csv.reader(io.StringIO(data.decode(_UTF8), newline=""), delimiter=delimiter, strict=True)
    width = 0
    for row in rows:
        width = width or len(row)
        if row and len(row) != width:
            return rows.line_num, len(row), width
    return None
