"""`pectl preprocess`."""

from pathlib import Path
from typing import Annotated

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


def preprocess(
    dicom: SourcesArgument,
    out: Annotated[Path, typer.Option("--out", help="The study store.")],
    labels: LabelsOption = None,
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
    sources = Sources(tuple(dicom), labels, index, workers, part, named, stated)
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
    if labels is not None and summary.unlabelled:
        say(f"{len(summary.unlabelled)} studies without labels, such as {', '.join(summary.unlabelled[:3])}")
    counts = f"{summary.n_done} studies done, {summary.n_skipped} there already, {summary.n_refused} refused"
    say(f"{counts}{unread(summary.faults)}: {out}")
    if previews and summary.complete:
        show_previews(out, made_by="pectl preprocess")
    exit_if_strict(summary.verdicts, summary.faults, strict=strict)
