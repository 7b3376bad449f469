"""Series that the user names, against the rules: one for the only study, or a table of studies."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pectl.core.dicom.headers import is_safe_uid
from pectl.core.labels.names import SERIES, STUDY
from pectl.core.storage.csv_table import read_csv
from pectl.errors import InputMissingError

_WHAT = f"a table with {STUDY} and {SERIES}"


@dataclass(frozen=True)
class NamedSeries:
    """SeriesInstanceUID by study; `only` is that of the only study there is."""

    only: str = ""
    by_study: dict[str, str] = field(default_factory=dict)

    def of(self, study_uid: str) -> str:
        """Return the series to be used, empty where the rules choose."""
        return self.by_study.get(study_uid, self.only)

    def absent(self, study_uids: Iterable[str]) -> tuple[str, ...]:
        """Return the studies of the table that aren't among these.

        Raises:
            InputMissingError: a series was named for the only study, and there are several.
        """
        there = set(study_uids)
        if self.only and len(there) > 1:
            raise InputMissingError(
                where="--series",
                expected="one study, where a single series is named",
                found=f"{len(there)} studies",
                fix=f"give {_WHAT} (CSV)",
            )
        return tuple(sorted(set(self.by_study) - there))


def read_named_series(text: str | None) -> NamedSeries:
    """Read what `--series` was given: a SeriesInstanceUID, or a CSV file; None names nothing.

    Raises:
        InputMissingError: no such file, another file, a UID that can't be one, or a study with two series.
    """
    if text is None:
        return NamedSeries()
    if text.lower().endswith(".csv") or Path(text).exists():
        return NamedSeries(by_study=_read_table(Path(text)))
    if not is_safe_uid(text):
        raise InputMissingError(
            where="--series", expected=f"a {SERIES}, or {_WHAT} (CSV)", found=repr(text), fix="check the UID"
        )
    return NamedSeries(only=text)


def _read_table(path: Path) -> dict[str, str]:
    table = read_csv(path, what=_WHAT, error=InputMissingError, dtype=str, keep_default_na=False)
    if missing := {STUDY, SERIES} - set(table.columns):
        raise _unfit(path, f"no column {' or '.join(sorted(missing))}", "name the columns so")
    rows = table[[STUDY, SERIES]].map(str.strip).drop_duplicates()
    if unfit := [uid for uid in rows.to_numpy().ravel() if not is_safe_uid(uid)]:
        raise _unfit(path, f"{unfit[0]!r} among the UIDs", "check the UIDs")
    if (repeated := rows[STUDY].duplicated()).any():
        raise _unfit(path, f"study {rows[STUDY][repeated].iloc[0]} with two series", "keep one of each study")
    return dict(zip(rows[STUDY], rows[SERIES], strict=True))


def _unfit(path: Path, found: str, fix: str) -> InputMissingError:
    return InputMissingError(where=path, expected=f"{_WHAT} (CSV)", found=found, fix=fix)
