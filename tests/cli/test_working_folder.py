"""Folders in the working folder that are named as a package: data, whatever their name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("dl", "DLFCN", "brotli", "bottleneck")
"""Modules that libraries ask for and do without: python-gdcm the first two, urllib3 and pandas the others."""


@pytest.mark.parametrize("workers", [1, 2])
def test_folders_named_as_packages_are_not_taken_for_them(tmp_path, write_series, workers):
    write_series(tmp_path / "dicom", n_slices=18, size=(64, 64), pixel_spacing_mm=(6, 6), step_mm=12)
    for name in NAMES:
        (tmp_path / name).mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "pectl", "validate", "dicom", "--quiet", "--workers", str(workers)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 studies, 0 refused" in done.stdout
    assert done.stderr == ""


def test_the_program_run_from_its_source_has_no_module_dl(tmp_path):
    (tmp_path / "dl").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", "import pectl.core.dicom.pixels, gdcm"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
