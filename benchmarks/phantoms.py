"""The row of the speed table about phantoms: making a study of the demo, in one process."""

from pathlib import Path

from benchmarks.timing import Row, processor_seconds
from pectl.config import load_config
from pectl.phantom.cohort import make_cohort

_STUDIES = 4


def phantom_rows(folder: Path) -> list[Row]:
    """Make studies of the demo's cohort, DICOM files and truth included, in `folder`."""
    config = load_config(Path("demo"), [f"phantom.studies={_STUDIES}"]).phantom
    made = iter(range(1000))
    (seconds,) = processor_seconds(lambda: make_cohort(folder / f"phantoms{next(made)}", config, seed=0))
    size = f"{config.slices}x{config.matrix_px}x{config.matrix_px}"
    return [(f"phantom study of the demo, {size}", f"{seconds / _STUDIES:.2f} s", "", "")]
