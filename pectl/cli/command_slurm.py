"""`pectl slurm`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from pectl.cli.console import say


def slurm(
    config: Annotated[Path, typer.Argument(help="TOML file of the experiment.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the batch files.")],
    dicom: Annotated[Path, typer.Option("--dicom", help="Folder of the DICOM files.")],
    labels: Annotated[Path, typer.Option("--labels", help="CSV of the labels.")],
    work: Annotated[Path, typer.Option("--work", help="Where store, runs and features go.")] = Path("work"),
    device: Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="Where to compute.")] = "cuda",
    partition: Annotated[str | None, typer.Option("--partition", help="Partition of all jobs.")] = None,
    shares: Annotated[int | None, typer.Option("--shares", min=1, help="Tasks of each array.")] = None,
) -> None:
    """Write SLURM batch files for an experiment, and a script that submits them with their dependencies."""
    from pectl.config import load_config
    from pectl.report.slurm import Experiment, write_batch_files

    load_config(config, [])  # faults show now, not in the queue
    experiment = Experiment(
        config=config, dicom=dicom, labels=labels, work=work, device=device, partition=partition, shares=shares,
        pectl=str(Path(sys.executable).with_name("pectl")),
    )  # fmt: skip
    for path in write_batch_files(experiment, out):
        say(str(path))
    say(f"submit all: bash {out / 'submit.sh'}")
