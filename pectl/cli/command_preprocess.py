"""`pectl preprocess`."""

from pathlib import Path
from typing import Annotated

import typer

from pectl.cli.console import progress, say
from pectl.cli.options import (
    ConfigOption,
    QuietOption,
    SeedOption,
    SetOption,
    ShardOption,
    WorkersOption,
    parse_shard,
)

STRICT_EXIT = 3


def preprocess(
    dicom_root: Annotated[Path, typer.Argument(help="Folder of DICOM files, any names, any nesting; or one file.")],
    out: Annotated[Path, typer.Option("--out", help="The study store.")],
    labels: Annotated[Path | None, typer.Option("--labels", help="Table like RSPECT's train.csv.")] = None,
    workers: WorkersOption = 1,
    shard: ShardOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 if a study was refused.")] = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    quiet: QuietOption = False,
) -> None:
    """Turn DICOM series into a study store.

    It holds one upright lung box in HU per study.
    """
    from pectl.config import load_config
    from pectl.pipeline.preprocess import preprocess as run

    resolved, part = load_config(config, overrides or [], seed), parse_shard(shard)
    with progress("studies", quiet=quiet) as report:
        summary = run(dicom_root, out, resolved, labels=labels, workers=workers, shard=part, progress=report)
    for refusal in summary.refused:
        say(f"refused {refusal.study}: {refusal.code}: {refusal.reason}")
    if labels is not None and summary.unlabelled:
        say(f"{len(summary.unlabelled)} studies without labels, such as {', '.join(summary.unlabelled[:3])}")
    say(f"{summary.n_done} studies done, {summary.n_skipped} there already, {summary.n_refused} refused: {out}")
    if strict and summary.refused:
        raise typer.Exit(STRICT_EXIT)
