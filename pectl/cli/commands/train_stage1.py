"""`pectl train-stage1`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pectl.cli.console import Report
from pectl.cli.options import (
    ConfigOption,
    DeviceOption,
    QuietOption,
    ReadersOption,
    ResumeChangedOption,
    ResumeOption,
    SeedOption,
    SetOption,
)
from pectl.cli.training import train_and_show
from pectl.training.stopping import ending_on_stop, leaving_on_stop

if TYPE_CHECKING:
    from pectl.core.storage.estimate import Expect


def train_stage1(
    store: Annotated[Path, typer.Argument(help="A study store.")],
    out: Annotated[Path, typer.Option("--out", help="The run folder.")],
    workers: ReadersOption = 0,
    resume: ResumeOption = False,
    resume_changed: ResumeChangedOption = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train the window encoder on the train split."""
    where = f"train-stage1 --out {out}"
    with ending_on_stop(where):
        from pectl.config import load_config
        from pectl.steps.train_stage1 import train_stage1 as run
        from pectl.training.run import Resume
        from pectl.training.summary import summarise_stage1

    with leaving_on_stop(where):
        resolved = load_config(config, overrides or [], seed)
        mode: Resume = "changed" if resume_changed else resume

        def train(report: Report, expect: "Expect") -> dict[str, float]:
            return run(
                store, out, resolved, device=device, resume=mode, progress=report, workers=workers, expect=expect
            )

        train_and_show("stage 1", train, out, layers=lambda: summarise_stage1(resolved), quiet=quiet)
