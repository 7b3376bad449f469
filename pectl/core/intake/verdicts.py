"""What the intake says about studies, in the form in which it is kept: a JSON per study, a table and a JSON of all.

`verdicts.csv` has one row per finding with the columns study, series, code, level, detail. The first row of a study is
its outcome: `accepted`, or the error that refuses it.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from pectl.core.intake.findings import CODES, LEVELS, Finding, Level
from pectl.core.storage.files import read_json, write_json, write_text
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.errors import StoreError

FORMAT, VERSION = "pectl-verdicts", 1
JUDGED_BY = "pectl validate"
"""What writes verdicts without a store."""
COLUMNS = ("study", "series", "code", "level", "detail")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """All that is said about one study.

    Attributes:
        study: StudyInstanceUID, or `unnamed-0001` and so on where there is no usable one.
        series: SeriesInstanceUID of the chosen series; where none could be chosen, of the largest one.
        choice: why that series; empty where none could be chosen.
        findings: the outcome first.
        source: digest of the files, labels and configuration that were judged.
    """

    study: str
    series: str
    choice: str
    findings: tuple[Finding, ...]
    source: str = ""

    @property
    def level(self) -> Level:
        """Return the gravest level of the findings."""
        return min((finding.level for finding in self.findings), key=LEVELS.index)

    @property
    def refused(self) -> bool:
        """Tell whether the study can't be used."""
        return self.level == "error"

    @property
    def outcome(self) -> Finding:
        """Return `accepted`, or the error that refuses the study."""
        return self.findings[0]

    def made_from(self, source: str) -> Self:
        """Return the same with the digest of what was judged."""
        return replace(self, source=source)

    def refused_for(self, code: str, detail: str) -> Self:
        """Return the same for a study that was accepted, and can't be used after all."""
        others = (one for one in self.findings if one.level != "ok")
        return replace(self, findings=(Finding(code, detail), *others))

    def rows(self) -> list[tuple[str, ...]]:
        """Return the rows of the table."""
        return [(self.study, self.series, one.code, one.level, one.detail) for one in self.findings]

    def as_json(self) -> dict[str, object]:
        """Return what `verdicts.json` says of it."""
        return {
            "study": self.study,
            "series": self.series,
            "level": self.level,
            "choice": self.choice,
            "findings": _as_json(self.findings),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `write_verdict` wrote."""
        findings = tuple(Finding(one["code"], one["detail"]) for one in data["findings"])
        if unknown := [one.code for one in findings if one.code not in CODES]:
            raise ValueError(f"unknown code {unknown[0]}")
        names = ("study", "series", "choice", "source")
        return cls(**{name: str(data[name]) for name in names}, findings=findings)


def _as_json(findings: Iterable[Finding]) -> list[dict[str, str]]:
    return [{"code": one.code, "level": one.level, "detail": one.detail} for one in findings]


def write_verdict(path: Path, verdict: Verdict) -> None:
    """Write one study's verdict as a whole or not at all."""
    write_json(path, verdict.as_json() | {"source": verdict.source})


def read_verdict(path: Path, *, made_by: str) -> Verdict:
    """Read one study's verdict.

    Raises:
        StoreError: it isn't there or isn't one.
    """
    data = read_json(path, made_by=made_by)
    try:
        return Verdict.from_json(data)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            where=path,
            expected="a verdict",
            found=f"another JSON ({error!r})",
            fix=f"delete it and run {made_by} again",
        ) from error


def write_verdicts(
    folder: Path, verdicts: Sequence[Verdict], rules: Iterable[str], remarks: Iterable[Finding] = ()
) -> None:
    """Write `verdicts.csv` and `verdicts.json`: the same bytes whatever the order in which studies were judged.

    Args:
        folder: gets both files.
        verdicts: on all studies.
        rules: by which a series was chosen.
        remarks: what is said once, of all studies together; in the JSON alone.
    """
    ordered = sorted(verdicts, key=lambda verdict: verdict.study)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row for verdict in ordered for row in verdict.rows())
    write_text(folder / "verdicts.csv", text.getvalue())
    data = {
        "format": FORMAT,
        "version": VERSION,
        "use": RESEARCH_USE,
        "series_rules": list(rules),
        "n_studies": len(ordered),
        "n_refused": sum(verdict.refused for verdict in ordered),
        "codes": count_codes(ordered),
        "cohort": _as_json(remarks),
        "studies": [verdict.as_json() for verdict in ordered],
    }
    write_json(folder / "verdicts.json", data)


def count_codes(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Return in how many studies each code occurs, in the order of `CODES`."""
    count = Counter(code for verdict in verdicts for code in {one.code for one in verdict.findings})
    return {code: count[code] for code in CODES if count[code]}
