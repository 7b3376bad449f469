"""Make a synthetic cohort."""

from collections.abc import Callable
from pathlib import Path

from pectl.config import Config, write_config
from pectl.phantom.cohort import make_cohort


def make_phantoms(
    out: Path, config: Config, *, workers: int = 1, progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Make or complete a cohort of phantoms in the layout and with the labels of RSPECT.

    Args:
        out: folder of the cohort: `train/` with DICOM files, `train.csv`, `truth/` with masks, `config.toml`.
        config: the experiment; `phantom` and `seed` are used.
        workers: processes.
        progress: called with (studies done, studies).
    """
    make_cohort(out, config.phantom, seed=config.seed, workers=workers, progress=progress)
    write_config(config, out / "config.toml")
