"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from pectl.core.storage.processes import find_processes


def _samples(incomplete: str) -> list[str]:
    """Complete the name of a sample configuration; a shell completes paths by itself."""
    from pectl.config import sample_names

    return [name for name in sample_names() if name.startswith(incomplete)]


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="TOML file of the experiment, or the name of a sample, such as demo or rspect.",
        autocompletion=_samples,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override one value; repeatable."),
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Overrides the configuration's seed.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress, only the result.")]
Device = Literal["auto", "cpu", "cuda"]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")]
ResumeChangedOption = Annotated[
    bool, typer.Option("--resume-changed", help="As --resume, though the configuration has changed.")
]
ReadersOption = Annotated[
    int, typer.Option("--workers", min=0, help="Processes that read windows beside the training; 0: a thread of it.")
]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Processes.")]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Do share I of N, from 1; defaults to the SLURM array task and, within it, the process.",
    ),
]


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """Return (index from 0, count) of `I/N`, or of the SLURM array this task belongs to; None for all there is.

    Processes that torchrun or srun started divide it further.

    Raises:
        typer.BadParameter: not of the form I/N with 1 <= I <= N, or an array whose tasks aren't evenly numbered.
    """
    if text is not None:
        index, count = _shard_of_text(text)
    else:
        index, count = _shard_of_array() if "SLURM_ARRAY_TASK_ID" in os.environ else (0, 1)
    here = find_processes()
    return (index * here.world + here.rank, count * here.world) if count * here.world > 1 else None


def _shard_of_text(text: str) -> tuple[int, int]:
    index, slash, count_text = text.partition("/")
    if not (slash and index.isdecimal() and count_text.isdecimal() and 1 <= int(index) <= int(count_text)):
        raise typer.BadParameter(f"expected I/N with 1 <= I <= N, found {text!r}", param_hint="--shard")
    return int(index) - 1, int(count_text)


def _shard_of_array() -> tuple[int, int]:
    """Return the place of this task among those of its array: 0 of 3 for task 5 of `--array=5-9:2`."""
    first, last, step, count, task = (
        int(os.environ.get(f"SLURM_ARRAY_TASK_{name}", default))
        for name, default in {"MIN": "0", "MAX": "-1", "STEP": "1", "COUNT": "0", "ID": "0"}.items()
    )
    if len(range(first, last + 1, step)) != count:
        raise typer.BadParameter(
            f"expected an array of evenly numbered tasks, such as --array=1-8, found {count} tasks from {first} to "
            f"{last}; submit a range, or give --shard I/N",
            param_hint="--shard",
        )
    return (task - first) // step, count
