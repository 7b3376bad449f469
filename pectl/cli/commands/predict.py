"""`pectl predict`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pectl.cli.console import say
from pectl.cli.intake import (
    MOST_LISTED,
    STRICT_EXIT,
    IndexOption,
    SpacingOption,
    StrictOption,
    ValuesOption,
    parse_stated,
    show_faults,
    warn,
)
from pectl.cli.options import DeviceOption, QuietOption, ShardOption, parse_shard
from pectl.cli.watched import watched

if TYPE_CHECKING:
    from pectl.dicom_output.result import Kind
    from pectl.steps.predict_studies import PredictSummary

SourcesArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="DICOM...",
        help="Folders of DICOM files, files, zip or tar archives, a DICOMDIR; volumes; or study stores.",
    ),
]


def predict(
    model: Annotated[Path, typer.Option("--model", metavar="FILE.pectl", help="A bundle.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the worklist; what it holds already isn't done again.")],
    sources: SourcesArgument = None,
    listed: Annotated[
        Path | None, typer.Option("--list", metavar="FILE", help="A text file with more sources, one a line.")
    ] = None,
    spacing: SpacingOption = None,
    values: ValuesOption = None,
    index: IndexOption = None,
    shard: ShardOption = None,
    waiting_limit: Annotated[
        float | None,
        typer.Option("--waiting-limit", min=0, metavar="MINUTES", help="Studies older than this come first."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Draw heat for studies that are flagged or undecided.")
    ] = False,
    kinds: Annotated[
        str | None,
        typer.Option(
            "--dicom",
            metavar="KIND,...",
            help="Write DICOM objects into dicom/ in --out: any of sr, key-images, kos, heat, seg. They carry the "
            "patient's identity.",
        ),
    ] = None,
    strict: StrictOption = False,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
) -> None:
    """Predict studies with a bundle, and sort them into a worklist.

    Nothing leaves the list: a study that can't be used is on it, with the reason.
    """
    from pectl.bundle.unloaded import UnloadedBundle
    from pectl.steps.predict_studies import Wish, predict_studies, read_list

    part = parse_shard(shard)
    wanted = parse_kinds(kinds)
    given = [*(sources or []), *(read_list(listed) if listed else [])]
    if not given:
        raise typer.BadParameter("give folders, files or --list", param_hint="DICOM")
    with watched("studies", out, quiet=quiet, shard=part) as watch:
        wish = Wish(
            shard=part,
            index=index,
            device=device,
            waiting_minutes=waiting_limit,
            explain=explain,
            stated=parse_stated(spacing, values),
            kinds=wanted,
            progress=watch.progress,
        )
        summary = predict_studies(given, UnloadedBundle.open(model), out, wish)
    show_faults(summary.faults)
    show_without_dicom(summary)
    _show(summary, out)
    if strict and summary.refused:
        raise typer.Exit(STRICT_EXIT)


def parse_kinds(text: str | None) -> "tuple[Kind, ...]":
    """Return the kinds of DICOM objects in a list with commas, each once, in the order of `Kind`.

    Raises:
        typer.BadParameter: one that isn't there; all are named.
    """
    if text is None:
        return ()
    from pectl.dicom_output.result import Kind

    named = {word.strip() for word in text.split(",")}
    if unknown := sorted(named - set(Kind)):
        found = ", ".join(map(repr, unknown))
        raise typer.BadParameter(f"expected some of {', '.join(Kind)}, found {found}", param_hint="--dicom")
    return tuple(kind for kind in Kind if kind in named)


def show_without_dicom(summary: "PredictSummary") -> None:
    """Name on stderr the studies that have no DICOM objects: those of stores in one line, others with the reason."""
    if not summary.without_dicom:
        return
    from pectl.steps.predicted.dicom import STORED, VOLUME

    for reason, origin in ((STORED, "a study store"), (VOLUME, "volume files")):
        if studies := [study for study, found in summary.without_dicom if found == reason]:
            warn(f"no DICOM objects of {len(studies)} studies from {origin}: {', '.join(studies[:MOST_LISTED])}")
    others = [f"{study}: {reason}" for study, reason in summary.without_dicom if reason not in (STORED, VOLUME)]
    for line in others[:MOST_LISTED]:
        warn(f"no DICOM objects of {line}")
    if len(others) > MOST_LISTED:
        warn(f"no DICOM objects of {len(others) - MOST_LISTED} more; their JSON has the reason")


def _show(summary: "PredictSummary", out: Path) -> None:
    """Print how many studies are in which state, and what isn't read, or was seen before."""
    from collections import Counter

    states = Counter[str](row.prediction.state for row in summary.rows)
    for row in summary.refused[:MOST_LISTED]:
        first = row.prediction.findings[0]
        say(f"not read {row.prediction.study}: {first.code}: {first.detail}")
    if len(summary.refused) > MOST_LISTED:
        say(f"and {len(summary.refused) - MOST_LISTED} more not read")
    if seen := [row.prediction.study for row in summary.rows if row.prediction.seen]:
        some = f"{', '.join(seen[:3])}{' ...' if len(seen) > 3 else ''}"
        say(f"the model was made with {len(seen)} of these studies, which says nothing of new ones: {some}")
    counts = ", ".join(f"{states[name]} {title}" for name, title in _STATES.items())
    say(f"{summary.n_done} studies done, {summary.n_skipped} there already; {counts}: {out / 'worklist.html'}")
    say("Research use only, not for diagnosis.")


_STATES = {"flagged": "flagged", "undecided": "undecided", "refused": "not read", "negative": "without PE"}
