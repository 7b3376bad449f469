"""SLURM batch files for an experiment: one per step, and a script that submits them with their dependencies."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict

from pectl.core.storage.files import write_text
from pectl.errors import OutputExistsError
from pectl.slurm.resources import STEPS, WARNING_SECONDS, Resources, Step

SUBMIT = "submit.sh"
MOST_RESTARTS = 100
"""A job that has been requeued so often is taken to go round in circles."""


class Experiment(BaseModel):
    """What the batch files are filled with; paths are as seen from the folder one submits from."""

    model_config = ConfigDict(frozen=True)

    config: Path
    overrides: tuple[str, ...] = ()
    """Arguments of each command that change the configuration, such as `--set stage1.epochs=3`."""
    dicom: Path
    labels: Path
    work: Path
    """Parent of store, runs, features, explanations and evaluation."""
    program: Path = Path(".venv/bin/pectl")
    partition: str | None = None
    account: str | None = None
    directives: tuple[str, ...] = ()
    """More options of sbatch for every job, such as `--mail-type=FAIL`."""


def write_batch_files(experiment: Experiment, resources: Mapping[Step, Resources], out: Path) -> list[Path]:
    """Write the batch file of each step, and `submit.sh`.

    Raises:
        OutputExistsError: one of them is there; none is overwritten, for they are meant to be edited.
    """
    names = [*(f"{step}.sbatch" for step in STEPS), SUBMIT]
    for path in (out / name for name in names):
        if path.exists():
            raise OutputExistsError(
                where=path,
                expected="a folder without batch files",
                found="one",
                fix="edit it, or delete the folder, or choose another --out",
            )
    shared = dict(experiment) | {"folder": out, "steps": STEPS, "restarts": MOST_RESTARTS, "warning": WARNING_SECONDS}
    for name in names:
        step = name.removesuffix(".sbatch")
        filled = shared | {"step": step, "needs": resources.get(step)}  # type: ignore[call-overload]  # submit.sh has none
        write_text(out / name, _environment().get_template(name).render(filled).rstrip() + "\n")
    return [out / name for name in names]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pectl.slurm", "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        comment_start_string="{##",
        comment_end_string="##}",  # ${#array[@]} is bash
    )
    environment.filters["quoted"] = lambda value: shlex.quote(str(value))
    return environment
