"""A finished run of a training, as what uses its model finds it."""

from pathlib import Path
from typing import Any

from pectl.core.storage.stamp import Stamp, read_stamp
from pectl.errors import StoreError

FORMAT, VERSION = "pectl-run", 1


def best_model(run: Path) -> Path:
    """Return the folder of the checkpoint that a run is used for."""
    return run / "checkpoints" / "best"


def read_run(path: Path, *, stage: str) -> tuple[Stamp, dict[str, Any]]:
    """Read a finished run's stamp, and everything else in its `run.json`.

    Raises:
        StoreError: not a run, of another stage or version, or not finished.
    """
    made_by = f"pectl train-{stage}"
    stamp, described = read_stamp(path / "run.json", format=FORMAT, version=VERSION, made_by=made_by)
    if described.get("stage") != stage:
        raise StoreError(
            where=path,
            expected=f"a run of {made_by}",
            found=f"one of {described.get('stage')}",
            fix="swap the folders",
        )
    return stamp, described
