"""`pectl slurm`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from pectl.cli.console import say
from pectl.cli.options import SeedOption, SetOption


def slurm(
    config: Annotated[Path, typer.Argument(help="TOML file of the experiment.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the batch files and of the jobs' logs.")],
    dicom: Annotated[Path, typer.Option("--dicom", help="Folder of the DICOM files.")],
    labels: Annotated[Path, typer.Option("--labels", help="CSV of the labels.")],
    work: Annotated[Path, typer.Option("--work", help="Where store, runs and features go.")] = Path("work"),
    studies: Annotated[
        int | None, typer.Option("--studies", min=1, help="Number of studies; default: those in --labels.")
    ] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="Where to run the networks.")] = "cuda",
    partition: Annotated[str | None, typer.Option("--partition", help="Partition of all jobs.")] = None,
    account: Annotated[str | None, typer.Option("--account", help="Account of all jobs.")] = None,
    resources: Annotated[
        list[str] | None,
        typer.Option(
            "--resource",
            metavar="STEP.KEY=VALUE",
            help="time, mem, cpus, gpus, tasks, at_once or partition of a step, such as train-stage1.time=24:00:00; "
            "repeatable.",
        ),
    ] = None,
    directives: Annotated[
        list[str] | None, typer.Option("--sbatch", help="Option of sbatch for all jobs, --mail-type=FAIL; repeatable.")
    ] = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
) -> None:
    """Write SLURM batch files for an experiment, and a script that submits them with their dependencies.

    Time, memory and shares follow from the experiment and its number of studies.
    """
    from pectl.config import load_config
    from pectl.core.labels.table import read_labels
    from pectl.errors import InputMissingError
    from pectl.slurm.batch_files import SUBMIT, Experiment, write_batch_files
    from pectl.slurm.resources import default_resources, override_resources

    resolved = load_config(config, overrides or [], seed)
    if studies is None and not labels.exists():
        raise InputMissingError(
            where=labels,
            expected="the labels, to count the studies",
            found="no such file",
            fix="check --labels, or give --studies",
        )
    count = studies or len(read_labels(labels).exam)
    needs = override_resources(default_resources(resolved, count, gpu=device == "cuda"), resources or [])
    experiment = Experiment(
        config=config,
        overrides=_arguments(overrides or [], seed),
        dicom=dicom,
        labels=labels,
        work=work,
        program=_program(),
        partition=partition,
        account=account,
        directives=tuple(directives or ()),
    )
    for path in write_batch_files(experiment, needs, out):
        say(str(path))
    say(f"submit all: bash {shlex.quote(str(out / SUBMIT))}")


def _arguments(overrides: list[str], seed: int | None) -> tuple[str, ...]:
    """Return the arguments that change the configuration, for each command of the chain."""
    chosen = [part for override in overrides for part in ("--set", override)]
    return (*chosen, *(() if seed is None else ("--seed", str(seed))))


def _program() -> Path:
    """Return this installation's `pectl`, by its whole path: jobs may be submitted from any folder."""
    return Path(sys.executable).absolute().with_name("pectl")
