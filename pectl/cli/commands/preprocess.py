"""`pectl preprocess`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pectl.cli.console import progress, say
from pectl.cli.intake import (
    IndexOption,
    LabelsOption,
    PreviewsOption,
    SeriesOption,
    SourcesArgument,
    SpacingOption,
    StrictOption,
    ValuesOption,
    exit_if_strict,
    parse_stated,
    show_absent,
    show_faults,
    show_previews,
    show_remarks,
    show_verdicts,
    unread,
)
from pectl.cli.options import (
    ConfigOption,
    QuietOption,
    SeedOption,
    SetOption,
    ShardOption,
    WorkersOption,
    parse_shard,
)
from pectl.cli.watched import watched

if TYPE_CHECKING:
    from pectl.core.layouts.layout import SetContents


def preprocess(
    dicom: SourcesArgument,
    out: Annotated[Path, typer.Option("--out", help="The study store.")],
    labels: LabelsOption = None,
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout",
            metavar="SET|auto",
            help="Read a public set as it lies on disk, with its labels, masks and splits; see pectl layouts.",
        ),
    ] = None,
    series: SeriesOption = None,
    spacing: SpacingOption = None,
    values: ValuesOption = None,
    index: IndexOption = None,
    workers: WorkersOption = 1,
    shard: ShardOption = None,
    previews: PreviewsOption = False,
    strict: StrictOption = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    quiet: QuietOption = False,
) -> None:
    """Turn DICOM series, or volumes, into a study store.

    It holds one upright lung box in HU per study, and the verdicts that `validate` gives.
    """
    from pectl.config import load_config
    from pectl.core.intake.choice.named_series import read_named_series
    from pectl.core.intake.tasks import IntakeWatch, Sources
    from pectl.steps.preprocess import preprocess as run

    resolved, part = load_config(config, overrides or [], seed), parse_shard(shard)
    named, stated = read_named_series(series), parse_stated(spacing, values)
    more: dict[str, Any] = {"index": index, "workers": workers, "shard": part, "series": named}
    if layout is None:
        sources = Sources(tuple(dicom), labels, stated=stated, **more)
    else:
        contents = _read_set(layout, dicom, labels)
        sources = Sources.of_set(contents, stated, **more)
    with (
        progress("files", quiet=quiet, growing=True) as files,
        watched("studies", out, quiet=quiet, shard=part) as watch,
    ):
        told = IntakeWatch(watch.stoppable(files), watch.progress, watch.expect)
        summary = run(sources, out, resolved, previews=previews, watch=told)
    show_absent(summary.absent)
    show_faults(summary.faults)
    show_remarks(summary.remarks)
    if summary.verdicts:
        show_verdicts(summary.verdicts)
    if sources.labels is not None and summary.unlabelled:
        say(f"{len(summary.unlabelled)} studies without labels, such as {', '.join(summary.unlabelled[:3])}")
    counts = f"{summary.n_done} studies done, {summary.n_skipped} there already, {summary.n_refused} refused"
    say(f"{counts}{unread(summary.faults)}: {out}")
    if previews and summary.complete:
        show_previews(out, made_by="pectl preprocess")
    exit_if_strict(summary.verdicts, summary.faults, strict=strict)


def _read_set(layout: str, folders: list[Path], labels: Path | None) -> "SetContents":
    """Read what a public set says, and show what was met in it."""
    from pectl.core.layouts.known import choose_layout, read_set

    if len(folders) != 1:
        raise typer.BadParameter(f"expected the folder of one set with --layout, found {len(folders)}")
    chosen, reason = choose_layout(layout, folders[0])
    say(f"{chosen.title}: {reason}")
    contents = read_set(chosen, folders[0])
    if labels is not None:
        if contents.labels is not None or contents.exam is not None:
            raise typer.BadParameter(f"{chosen.title} has labels of its own; leave out --labels")
        contents = replace(contents, labels=labels)
    for one in contents.met:
        say(f"  {one}")
    return contents
