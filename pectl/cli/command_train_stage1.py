"""`pectl train-stage1`."""

from pathlib import Path
from typing import Annotated

import typer

from pectl.cli.console import progress, show_table
from pectl.cli.options import (
    ConfigOption,
    DeviceOption,
    QuietOption,
    ResumeChangedOption,
    ResumeOption,
    SeedOption,
    SetOption,
)


def train_stage1(
    store: Annotated[Path, typer.Argument(help="A study store.")],
    out: Annotated[Path, typer.Option("--out", help="The run folder.")],
    resume: ResumeOption = False,
    resume_changed: ResumeChangedOption = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train the window encoder on the train split."""
    from pectl.config import load_config
    from pectl.pipeline.train_stage1 import train_stage1 as run

    resolved = load_config(config, overrides or [], seed)
    with progress("stage 1 steps", quiet=quiet) as report:
        best = run(store, out, resolved, device=device, resume="changed" if resume_changed else resume, progress=report)
    show_table(f"stage 1, best epoch: {out}", best)
