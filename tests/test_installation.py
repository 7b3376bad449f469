"""The program as it is found: a bare checkout, and a wheel in an empty environment and an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_a_bare_checkout_says_so_in_one_line() -> None:
    command = [sys.executable, "-S", "-m", "pectl", "--help"]  # -S: without the packages of this environment
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("pectl: expected an installed package, found no ")
    assert done.stderr.endswith("; run make setup, then .venv/bin/pectl\n")
    assert done.stderr.count("\n") == 1


TINY = (
    "phantom.studies=14",
    "phantom.matrix_px=64",
    "stage1.epochs=1",
    "stage2.epochs=1",
    "evaluate.bootstrap_replicates=100",
)


@pytest.mark.slow
def test_a_wheel_runs_the_demo_in_an_empty_folder(tmp_path: Path) -> None:
    """Every sample configuration is in the wheel, and the demo needs nothing beside it."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "build", "--quiet", "--out-dir", tmp_path / "dist", ROOT], check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = ["--constraint", ROOT / "constraints.txt"]
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, *constraints, wheel], check=True)
    (tmp_path / "empty").mkdir()
    pectl = python.with_name("pectl")
    changes = [part for change in TINY for part in ("--set", change)]
    subprocess.run([pectl, "demo", "--quiet", *changes], cwd=tmp_path / "empty", check=True)
    assert (tmp_path / "empty" / "demo" / "evaluation" / "report.html").is_file()
    for name in ("demo", "phantom", "phantom_realistic", "rspect", "rspect_ma2022"):
        subprocess.run([pectl, "summary", "--config", name], cwd=tmp_path / "empty", check=True, capture_output=True)
