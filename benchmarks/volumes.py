"""The rows of the speed table about NIfTI and NRRD: from the file to the study store, and memory; one core.

Baseline: what is commonly done, `get_fdata` of nibabel or `read` of pynrrd to float64, then a cubic zoom to 1 mm
(`scipy.ndimage.zoom`, order 3). Each runs as a process of its own, ours three times, theirs once after it; processor
time, imports left out. `python -m benchmarks.volumes` measures these rows alone.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np

from benchmarks.series import PIXEL_MM, SIDE, SLICES, STEP_MM, drawn_slices
from benchmarks.timing import Row

_ENDS = """
print(time.process_time() - begin, re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
_OURS = (
    """
import re, sys, time
from pathlib import Path
from typer.testing import CliRunner
import pandas
import pectl.core.intake.store_index, pectl.core.volumes.nifti, pectl.core.volumes.nrrd_file, pectl.steps.preprocess
from pectl.cli.app import app
begin = time.process_time()
done = CliRunner().invoke(app, ["preprocess", sys.argv[1], "--out", sys.argv[2], "--quiet"])
assert "1 studies done" in done.output, done.output
"""
    + _ENDS
)
_COMMON = (
    f"""
import re, sys, time
from pathlib import Path
import nibabel, nrrd, numpy
from scipy import ndimage
begin = time.process_time()
nifti = sys.argv[1].endswith(".nii.gz")
values = nibabel.load(sys.argv[1]).get_fdata() if nifti else nrrd.read(sys.argv[1])[0].astype(numpy.float64)
ndimage.zoom(values, ({PIXEL_MM}, {PIXEL_MM}, {STEP_MM}), order=3)
"""
    + _ENDS
)


def volume_rows(folder: Path) -> Iterator[Row]:
    """Measure both formats, compressed by gzip; files go to `folder`."""
    for name, path in _write(folder).items():
        yield _row(name, path, folder)


def _write(folder: Path) -> dict[str, Path]:
    slices = [stored.astype(np.int16) - np.int16(1024) for stored in drawn_slices()]
    values = np.stack([slices[k % len(slices)] for k in range(SLICES)]).T  # (x, y, z), to the left and back
    nifti, nrrd_path = folder / "nifti.nii.gz", folder / "nrrd.nrrd"
    nib.save(nib.Nifti1Image(values, np.diag([-PIXEL_MM, -PIXEL_MM, STEP_MM, 1.0])), nifti)
    place = {"space": "left-posterior-superior", "space directions": np.diag([PIXEL_MM, PIXEL_MM, STEP_MM])}
    nrrd.write(str(nrrd_path), values, place | {"space origin": np.zeros(3)}, compression_level=1)
    return {"NIfTI": nifti, "NRRD": nrrd_path}


def _row(name: str, path: Path, folder: Path) -> Row:
    runs = [_run(_OURS, path, folder / "volume_store") for _ in range(3)]
    mine, memory = min(seconds for seconds, _ in runs), max(kilobytes for _, kilobytes in runs)
    theirs, peak = _run(_COMMON, path, folder / "none")
    figure = f"{mine:.2f} s, {memory / 1000:.0f} MB"
    baseline = f"read to float64 and zoom to 1 mm {theirs:.1f} s, {peak / 1000:.0f} MB"
    return (f"preprocess {SLICES}x{SIDE}x{SIDE}, {name}, gzip", figure, baseline, f"{theirs / mine:.1f}")


def _run(code: str, path: Path, out: Path) -> tuple[float, float]:
    """Return the seconds of a new process and its peak memory in kB."""
    shutil.rmtree(out, ignore_errors=True)
    done = subprocess.run([sys.executable, "-c", code, str(path), str(out)], check=True, capture_output=True, text=True)
    seconds, kilobytes = done.stdout.split()[-2:]
    return float(seconds), float(kilobytes)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for cells in volume_rows(Path(scratch)):
            print("| " + " | ".join(cells) + " |", flush=True)
