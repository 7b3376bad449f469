"""`worklist.html`: every study in the order in which it is to be looked at, on one page that needs no network."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pectl.core.intake.findings import CODES
from pectl.core.labels.names import CENTRAL, EXAM_LABELS, RV_LV, RV_LV_GTE_1
from pectl.core.storage.files import write_text
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.inference.prediction import SEEN, Model, Prediction, State
from pectl.inference.worklist import Row
from pectl.report.environment import inline_file, template_environment
from pectl.report.text import LABEL_TITLES

PAGE_NAME = "worklist.html"
REFRESH_SECONDS = 20
STATE_TITLES: dict[State, str] = {
    "flagged": "PE",
    "undecided": "undecided",
    "refused": "not read",
    "negative": "no PE",
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of the page.

    Attributes:
        row: the study.
        late: it has waited for too long.
        picture: of its hottest slice; None where there is none.
        json: link to all that is said of it.
        explanation: link to the page that explains it; None where there is none.
    """

    row: Row
    late: bool
    picture: Path | None
    json: str
    explanation: str | None


def write_worklist(out: Path, entries: Sequence[Entry], model: Model, notes: Sequence[str] = ()) -> Path:
    """Write the page, and return it.

    Args:
        out: its folder.
        entries: in the order of the list.
        model: who answered.
        notes: what is said of studies that aren't on the list yet; a page that has some loads itself anew.
    """
    states = Counter(entry.row.prediction.state for entry in entries)
    page = (
        template_environment()
        .get_template("worklist.html.j2")
        .render(
            lines=[_line(place, entry) for place, entry in enumerate(entries, 1)],
            counts=[(name, title, states[name]) for name, title in STATE_TITLES.items()],
            model=model,
            notes=notes,
            refresh_seconds=REFRESH_SECONDS,
            use=RESEARCH_USE,
        )
    )
    write_text(out / PAGE_NAME, page)
    return out / PAGE_NAME


def _line(place: int, entry: Entry) -> dict[str, object]:
    said = entry.row.prediction
    return {
        "place": place,
        "study": said.study,
        "state": said.state,
        "title": STATE_TITLES[said.state],
        "late": entry.late,
        "probability": said.probability,
        "strain": said.state != "refused" and said.called(RV_LV_GTE_1) and said.state != "negative",
        "central": said.called(CENTRAL) and said.state != "negative",
        "labels": _labels(said),
        "notes": _notes(said),
        "arrived": datetime.fromtimestamp(entry.row.arrived, UTC).strftime("%Y-%m-%d %H:%M"),
        "arrived_seconds": entry.row.arrived,
        "picture": None if entry.picture is None else inline_file(entry.picture),
        "json": entry.json,
        "explanation": entry.explanation,
    }


def _labels(said: Prediction) -> list[str]:
    """Name the labels that are called, but the two that have a column of their own."""
    shown = [name for name in EXAM_LABELS if name not in (*RV_LV, CENTRAL)]
    return [LABEL_TITLES[name] for name in shown if said.called(name)]


def _notes(said: Prediction) -> list[str]:
    """Say why a study isn't read, is unlike others, or was seen before; and what the intake warns of."""
    first, *others = said.findings
    if said.state == "refused":
        return [": ".join(part for part in (CODES[first.code][1], first.detail) if part)]
    warnings = [CODES[one.code][1] for one in others if one.level == "warning"]
    return [*said.unlike, *([SEEN] if said.seen else ()), *warnings]
