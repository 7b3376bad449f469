"""`pectl phantom`."""

from pathlib import Path
from typing import Annotated

import typer

from pectl.cli.console import say
from pectl.cli.options import ConfigOption, QuietOption, SeedOption, SetOption, WorkersOption
from pectl.cli.watched import watched


def phantom(
    out: Annotated[Path, typer.Argument(help="Folder of the cohort.")],
    studies: Annotated[int | None, typer.Option("--studies", min=1, help="Overrides phantom.studies.")] = None,
    workers: WorkersOption = 1,
    config: ConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make a synthetic cohort in DICOM, with its truth.

    The layout and labels are those of RSPECT.
    """
    from pectl.config import load_config
    from pectl.steps.phantom import make_phantoms

    sizes = [] if studies is None else [f"phantom.studies={studies}"]
    resolved = load_config(config, [*(overrides or []), *sizes], seed)
    with watched("phantom studies", out, quiet=quiet) as watch:
        make_phantoms(out, resolved, workers=workers, progress=watch.progress)
    say(f"{resolved.phantom.studies} studies in {out / 'train'}, labels in {out / 'train.csv'}")
