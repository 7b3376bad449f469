"""`pectl validate`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

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
    from pectl.core.intake.tasks import IntakeWatch


def validate(
    dicom: SourcesArgument,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of verdicts.csv and verdicts.json.")] = None,
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
    """Say what each study is, what is wrong with it, and which series would be used.

    Nothing is preprocessed. The codes are those of docs/reference/codes.md.
    """
    from pectl.config import load_config
    from pectl.core.intake.choice.named_series import read_named_series
    from pectl.core.intake.choice.rules import describe_rules
    from pectl.core.intake.tasks import Sources
    from pectl.steps.validate import validate as run

    if previews and out is None:
        raise typer.BadParameter("pictures need a folder: give --out too", param_hint="--previews")
    resolved, part = load_config(config, overrides or [], seed), parse_shard(shard)
    named, stated = read_named_series(series), parse_stated(spacing, values)
    sources = Sources(tuple(dicom), labels, index, workers, part, named, stated)
    say("Series choice: " + "; ".join(describe_rules(resolved.preprocess)))
    with TemporaryDirectory(prefix="pectl-") as scratch, _watching(out, part, quiet=quiet) as watch:
        summary = run(sources, out or Path(scratch), resolved, previews=previews, watch=watch)
    show_absent(summary.absent)
    show_faults(summary.faults)
    show_remarks(summary.remarks)
    show_verdicts(summary.verdicts)
    n_refused = sum(verdict.refused for verdict in summary.verdicts)
    again = f" ({summary.n_reused} unchanged since an earlier run)" if summary.n_reused else ""
    where = f": {out / 'verdicts.csv'}" if out and summary.complete else ""
    counts = f"{len(summary.verdicts)} studies{again}, {n_refused} refused{unread(summary.faults)}"
    say(f"{counts}{where}. Research use only, not for diagnosis.")
    if out and not summary.complete:
        say("other shares aren't finished; the one that finishes last writes verdicts.csv")
    if out and previews and summary.complete:
        show_previews(out, made_by="pectl validate")
    exit_if_strict(summary.verdicts, summary.faults, strict=strict)


@contextmanager
def _watching(out: Path | None, shard: tuple[int, int] | None, *, quiet: bool) -> "Iterator[IntakeWatch]":
    """Yield whom to tell how far it is; without a folder there is no heartbeat, and nothing to go on from."""
    from pectl.core.intake.tasks import IntakeWatch

    with progress("files", quiet=quiet, growing=True) as files:
        if out is None:
            with progress("studies", quiet=quiet) as studies:
                yield IntakeWatch(files, studies)
        else:
            with watched("studies", out, quiet=quiet, shard=shard) as watch:
                yield IntakeWatch(watch.stoppable(files), watch.progress)
