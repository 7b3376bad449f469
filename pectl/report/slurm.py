"""SLURM batch files for an experiment: one per step, and a script that submits all with their dependencies."""

from pathlib import Path
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict

from pectl.core.data.files import write_text
from pectl.errors import OutputExistsError

SHARES = {"preprocess.sbatch": 32, "extract-features.sbatch": 4}
STEPS = (*SHARES, "train-stage1.sbatch", "train-stage2.sbatch", "submit.sh")


class Experiment(BaseModel):
    """What the batch files are filled with; paths are as seen from the folder one submits from."""

    model_config = ConfigDict(frozen=True)

    config: Path
    dicom: Path
    labels: Path
    work: Path
    """Parent of store, runs and features."""
    device: Literal["cpu", "cuda"] = "cuda"
    partition: str | None = None
    shares: int | None = None
    """Tasks of each array; None takes `SHARES`."""
    pectl: str = ".venv/bin/pectl"


def write_batch_files(experiment: Experiment, out: Path) -> list[Path]:
    """Write the batch files of all steps.

    Raises:
        OutputExistsError: one of them is there; none is overwritten, for they are meant to be edited.
    """
    paths = [out / name for name in STEPS]
    for path in paths:
        if path.exists():
            raise OutputExistsError(
                where=path, expected="a folder without batch files", found="one", fix="choose another --out"
            )
    environment = Environment(
        loader=PackageLoader("pectl.report", "templates/slurm"), undefined=StrictUndefined, keep_trailing_newline=True,
        autoescape=False,
    )  # fmt: skip
    processor = "GPU" if experiment.device == "cuda" else "CPU"
    for path in paths:
        filled = dict(experiment) | {
            "folder": out, "processor": processor, "shares": experiment.shares or SHARES.get(path.name)
        }  # fmt: skip
        write_text(path, environment.get_template(path.name).render(filled))
    return paths
