"""`pectl predict`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pectl.cli.console import say
from pectl.cli.intake import MOST_LISTED, STRICT_EXIT, IndexOption, StrictOption, show_faults
from pectl.cli.options import DeviceOption, QuietOption, ShardOption, parse_shard
from pectl.cli.watched import watched

if TYPE_CHECKING:
    from pectl.inference.instrument import Instrument
    from pectl.steps.predict_studies import PredictSummary

SourcesArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="DICOM...", help="Folders of DICOM files, files, zip or tar archives, a DICOMDIR, or study stores."
    ),
]


def predict(
    model: Annotated[Path, typer.Option("--model", metavar="FILE.pectl", help="A bundle.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the worklist; what it holds already isn't done again.")],
    dicom: SourcesArgument = None,
    listed: Annotated[
        Path | None, typer.Option("--list", metavar="FILE", help="A text file with more sources, one a line.")
    ] = None,
    index: IndexOption = None,
    shard: ShardOption = None,
    waiting_limit: Annotated[
        float | None,
        typer.Option("--waiting-limit", min=0, metavar="MINUTES", help="Studies older than this come first."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Draw heat for studies that are flagged or undecided.")
    ] = False,
    strict: StrictOption = False,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
) -> None:
    """Predict studies with a bundle, and sort them into a worklist.

    Nothing leaves the list: a study that can't be used is on it, with the reason.
    """
    from functools import partial

    from pectl.steps.predict_studies import Wish, predict_studies, read_list

    part = parse_shard(shard)
    sources = [*(dicom or []), *(read_list(listed) if listed else [])]
    if not sources:
        raise typer.BadParameter("give folders, files or --list", param_hint="DICOM")
    with watched("studies", out, quiet=quiet, shard=part) as watch:
        wish = Wish(
            shard=part,
            index=index,
            device=device,
            waiting_minutes=waiting_limit,
            explain=explain,
            progress=watch.progress,
        )
        summary = predict_studies(sources, partial(_load, model), out, wish)
    show_faults(summary.faults)
    _show(summary, out)
    if strict and summary.refused:
        raise typer.Exit(STRICT_EXIT)


def _load(model: Path) -> "Instrument":
    from pectl.bundle.load import load_bundle

    return load_bundle(model)


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
