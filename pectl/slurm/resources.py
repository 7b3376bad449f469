"""What each step of an experiment asks SLURM for: defaults that follow from the experiment, and a user's own values."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pectl.config import Config
from pectl.errors import ConfigError
from pectl.training.estimate_networks import estimate_stage1
from pectl.training.networks import encoder_spec
from pectl.training.summary import summarise_stage1

Step = Literal["preprocess", "train-stage1", "extract-features", "train-stage2", "explain", "evaluate"]
STEPS: tuple[Step, ...] = get_args(Step)

HEIGHT_MM = 300.0
"""Of the lung box of a usual study."""
SOURCE_SLICES = 250
"""Images of a usual study of RSPECT."""
HEADER_SECONDS = 0.002
"""To read the header of one file from a network file system, one after another."""
STUDY_SECONDS = 3.0
"""To preprocess a study on one core; 0.4 s measured from a local disk."""
EXPLAIN_SECONDS = 30.0
"""To explain a study, pictures included, on a CPU."""
GPU_FLOPS, CORE_FLOPS = 1e13, 1e10
"""Floating-point operations a second that 3-D convolutions are taken to reach on a GPU and on one core."""
MEMORY_SLACK, SLACK = 1.5, 3.0
"""Memory and time limit are so many times the estimate."""
LONGEST_HOURS = 24
"""No limit is longer by default: a job that runs out of time queues itself again and goes on."""
STUDIES_A_SHARE, MOST_SHARES, MOST_GPU_SHARES = 100, 32, 4

WARNED: tuple[Step, ...] = ("preprocess", "train-stage1", "extract-features", "train-stage2")
"""Steps that are warned before their time limit, and queue themselves again."""
WARNING_SECONDS = 120
"""So long before its time limit a job is warned: enough to end a step or a study, and to write a checkpoint."""
SHORTEST_SECONDS = 300
"""A warned step with less time would be warned before it has done anything: Slurm may warn 60 s early too."""

EXAMPLES = {
    "time": "minutes, HH:MM:SS or D-HH",
    "mem": "a size such as 16G",
    "cpus": "a number from 1",
    "gpus": "a number from 0",
    "tasks": "a number from 1",
    "at_once": "a number from 1",
}
"""What each key takes."""


class Resources(BaseModel):
    """Resources of one step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: Annotated[str, Field(pattern=r"^(\d+|\d+(:\d\d){1,2}|\d+-\d+(:\d\d){0,2})$")]
    """Time limit as sbatch reads it: minutes, HH:MM:SS or D-HH."""
    mem: Annotated[str, Field(pattern=r"^\d+[KMGT]?$")]
    """Memory of a task of an array, or of a whole training, as sbatch reads it: 16G."""
    cpus: Annotated[int, Field(ge=1)]
    """Cores of a process."""
    gpus: Annotated[int, Field(ge=0)] = 0
    """GPUs of a process."""
    tasks: Annotated[int, Field(ge=1)] = 1
    """Tasks of the array of `preprocess` and `extract-features`; processes of a training."""
    at_once: Annotated[int, Field(ge=1)] | None = None
    """Of an array: how many tasks may run at a time."""
    partition: str | None = None
    """Default: that of all steps."""


def default_resources(config: Config, studies: int, *, gpu: bool) -> dict[Step, Resources]:
    """Return what the steps need for so many studies, with room to spare; estimated, not measured.

    Args:
        config: the experiment.
        studies: number of studies in all.
        gpu: whether the networks run on one GPU or on CPUs.
    """
    gpus, cores = int(gpu), 8
    flops = studies * _windows(config) * summarise_stage1(config)[-1].flops  # one pass forward over all windows
    seconds = flops / (GPU_FLOPS if gpu else cores * CORE_FLOPS)
    shares = min(MOST_SHARES, math.ceil(studies / STUDIES_A_SHARE))
    gpu_shares = min(MOST_GPU_SHARES, shares)
    reading = studies * SOURCE_SLICES * HEADER_SECONDS + studies * STUDY_SECONDS / (4 * shares)
    explaining = studies * config.split.test_share * EXPLAIN_SECONDS
    return {
        "preprocess": Resources(time=_limit(reading), mem="8G", cpus=4, tasks=shares),
        "train-stage1": Resources(
            time=_limit(3 * config.stage1.epochs * seconds), mem=_memory(config, gpu=gpu), cpus=cores, gpus=gpus
        ),
        "extract-features": Resources(
            time=_limit(seconds / gpu_shares), mem="16G", cpus=cores if not gpu else 4, gpus=gpus, tasks=gpu_shares
        ),
        "train-stage2": Resources(time="04:00:00", mem="16G", cpus=cores, gpus=gpus),
        "explain": Resources(time=_limit(explaining), mem="16G", cpus=cores, gpus=gpus),
        "evaluate": Resources(time="01:00:00", mem="16G", cpus=4),
    }


def _windows(config: Config) -> float:
    return HEIGHT_MM / config.preprocess.slice_spacing_mm / config.windows.stride


def _memory(config: Config, *, gpu: bool) -> str:
    """Return the memory of stage 1's training, in steps of 16 GB."""
    estimate = estimate_stage1(config, encoder_spec(config), gpu=gpu)
    return f"{16 * math.ceil(MEMORY_SLACK * estimate.memory / 16e9)}G"


def _limit(seconds: float) -> str:
    hours = min(LONGEST_HOURS, max(1, math.ceil(SLACK * seconds / 3600)))
    return f"{hours:02d}:00:00"


def override_resources(defaults: Mapping[Step, Resources], overrides: list[str]) -> dict[Step, Resources]:
    """Apply `STEP.KEY=VALUE` to the defaults.

    Raises:
        ConfigError: not of this form, no such step or key, or a value that sbatch wouldn't take.
    """
    changes: dict[Step, dict[str, str]] = {step: {} for step in STEPS}
    for override in overrides:
        left, equals, value = override.partition("=")
        name, dot, key = left.strip().partition(".")
        step = next((step for step in STEPS if step == name), None)
        if not (equals and dot and step and key in Resources.model_fields):
            raise ConfigError(
                where=f"--resource {override}",
                expected="STEP.KEY=VALUE",
                found=repr(override),
                fix=f"steps are {', '.join(STEPS)}; keys are {', '.join(Resources.model_fields)}",
            )
        changes[step][key] = value.strip()
    return {step: _changed(step, defaults[step], changes[step]) for step in STEPS}


def _changed(step: Step, default: Resources, changes: Mapping[str, str]) -> Resources:
    try:
        needs = Resources.model_validate(default.model_dump() | dict(changes))
    except ValidationError as error:
        fault = error.errors()[0]
        raise ConfigError(
            where=f"--resource {step}.{fault['loc'][0]}",
            expected=EXAMPLES[str(fault["loc"][0])],
            found=repr(fault["input"]),
            fix="correct it",
        ) from error
    if step in WARNED and 0 < limit_seconds(needs.time) < SHORTEST_SECONDS:
        raise ConfigError(
            where=f"--resource {step}.time",
            expected=f"at least {SHORTEST_SECONDS // 60} minutes: the job is warned {WARNING_SECONDS} s before its end",
            found=repr(needs.time),
            fix="give it more: it would be warned at once, and queue itself again and again",
        )
    return needs


def limit_seconds(time: str) -> int:
    """Return a time limit as sbatch reads it, in seconds: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S; 0 is no limit."""
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash or len(parts) == 3:
        hours, minutes, seconds = [*parts, 0, 0][:3]
    else:
        hours, minutes, seconds = 0, *[*parts, 0][:2]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
