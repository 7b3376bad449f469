"""`pectl train-stage2`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pectl.cli.console import Report
from pectl.cli.options import (
    ConfigOption,
    DeviceOption,
    QuietOption,
    ResumeChangedOption,
    ResumeOption,
    SeedOption,
    SetOption,
)
from pectl.cli.training import train_and_show
from pectl.training.stopping import ending_on_stop, leaving_on_stop

if TYPE_CHECKING:
    from pectl.core.storage.estimate import Expect


def train_stage2(
    features: Annotated[Path, typer.Argument(help="A feature store.")],
    out: Annotated[Path, typer.Option("--out", help="The run folder.")],
    resume: ResumeOption = False,
    resume_changed: ResumeChangedOption = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train the sequence classifier on the train split.

    Then fit thresholds and calibrators on validation.
    """
    where = f"train-stage2 --out {out}"
    with ending_on_stop(where):
        from pectl.config import load_config
        from pectl.steps.train_stage2 import train_stage2 as run
        from pectl.training.run import Resume
        from pectl.training.summary import summarise_stage2

    with leaving_on_stop(where):
        resolved = load_config(config, overrides or [], seed)
        mode: Resume = "changed" if resume_changed else resume

        def train(report: Report, expect: "Expect") -> dict[str, float]:
            return run(features, out, resolved, device=device, resume=mode, progress=report, expect=expect)

        train_and_show("stage 2", train, out, layers=lambda: summarise_stage2(resolved), quiet=quiet)
