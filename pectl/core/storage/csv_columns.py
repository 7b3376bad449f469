"""The header of a CSV that somebody else wrote; what is wrong with the file is said in one line."""

from pathlib import Path

import pandas as pd

from pectl.errors import InputMissingError, PectlError

_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def csv_columns(path: Path, *, what: str, error: type[PectlError]) -> list[str]:
    """Return the column names of a CSV.

    Args:
        path: a CSV; a byte order mark and Windows line ends are no matter.
        what: what the file should be, for the message.
        error: raised where it is no CSV.

    Raises:
        InputMissingError: no such file.
        PectlError: of the kind `error`: empty, not UTF-8, or other delimiters.
    """
    expected = f"{what} (CSV)"
    try:
        columns = list(pd.read_csv(path, nrows=0).columns)
    except (FileNotFoundError, IsADirectoryError) as missing:
        raise InputMissingError(
            where=path, expected=expected, found="a folder" if path.is_dir() else "no such file", fix="check the path"
        ) from missing
    except pd.errors.EmptyDataError as empty:
        raise error(where=path, expected=expected, found="an empty file", fix="check how it was written") from empty
    except (ValueError, OSError) as broken:
        raise error(
            where=path, expected=expected, found=f"another file ({broken})", fix="save it as UTF-8 CSV"
        ) from broken
    _refuse_other_delimiters(path, columns, expected, error)
    return columns


def _refuse_other_delimiters(path: Path, columns: list[str], expected: str, error: type[PectlError]) -> None:
    for character, name in _OTHER_DELIMITERS.items():
        if len(columns) == 1 and character in columns[0]:
            raise error(
                where=path, expected=f"{expected}, fields parted by commas", found=name, fix="save it with commas"
            )
