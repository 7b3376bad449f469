"""The commands themselves under torchrun."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

pytestmark = pytest.mark.slow


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "pectl",
        *map(str, arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def assert_same_run(one: Path, other: Path) -> None:
    """Compare two runs.

    Adam divides a gradient by its own size, so where it is rounding alone a weight moves by its sign: single weights
    may differ by the rates of all steps, all of them together by far less. What is equal to rounding, gradients
    and statistics, is tested apart.
    """
    mine, theirs = (load_file(run / "checkpoints" / "best" / "model.safetensors") for run in (one, other))
    difference = sum((mine[name].double() - theirs[name].double()).square().sum() for name in mine)
    assert (difference / sum(value.double().square().sum() for value in mine.values())).sqrt() < 2e-3
    left, right = (pd.read_csv(run / "metrics.csv") for run in (one, other))
    pd.testing.assert_frame_equal(left.filter(like="loss"), right.filter(like="loss"), rtol=1e-3)
    pd.testing.assert_frame_equal(left.filter(like="auroc"), right.filter(like="auroc"), atol=0.03)


@pytest.mark.parametrize("workers", [0, 1])
def test_stage_1_in_two_processes(chain, tmp_path: Path, workers: int) -> None:
    done = torchrun(
        "train-stage1", chain.store, "--out", tmp_path, "--config", chain.config, "--quiet", "--workers", workers
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best epoch") == 1
    assert_same_run(chain.stage1, tmp_path)


def test_stage_1_with_heads_of_pe_in_two_processes(chain, pectl, tmp_path: Path) -> None:
    heads = ("--set", "stage1.multitask_loss_weight=1", "--set", "stage1.augment.contrast_gain=[0.8, 1.25]")
    command = ("train-stage1", chain.store, "--config", chain.config, "--quiet", *heads)
    assert pectl(*command, "--out", tmp_path / "one").code == 0
    done = torchrun(*command, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "one", tmp_path / "two")


def test_stage_2_in_two_processes(chain, tmp_path: Path) -> None:
    done = torchrun("train-stage2", chain.features, "--out", tmp_path, "--config", chain.config, "--quiet")
    assert done.returncode == 0, done.stderr
    assert_same_run(chain.tcn, tmp_path)
    assert (tmp_path / "decisions.json").is_file()
    assert (tmp_path / "run.json").is_file()


def test_an_error_is_shown_with_its_process_and_ends_the_job(chain, tmp_path: Path) -> None:
    done = torchrun("train-stage1", tmp_path / "nothing", "--out", tmp_path / "run", "--quiet")
    assert done.returncode != 0
    assert "pectl, process 1 of 2: " in done.stderr
    assert "expected a file that pectl preprocess writes" in done.stderr
