"""A training killed with SIGKILL at random points and resumed ends as one that was left alone."""

import multiprocessing
import random
import time
from pathlib import Path

import pytest
import torch

from tests.training import stub_task
from tests.training.stub_task import CONFIG

LONGEST_LIFE_SECONDS = 0.25


def train(path: Path, epochs: int) -> None:
    torch.set_num_threads(1)
    config = CONFIG.model_copy(update={"epochs": epochs, "checkpoint_minutes": 1e-6})
    stub_task.train(path, config=config)


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_again_and_again(tmp_path: Path, kills: int) -> None:
    context = multiprocessing.get_context("forkserver")
    epochs = 4 * kills
    train(tmp_path / "whole", epochs)
    rng, killed = random.Random(0), 0
    while killed < kills:
        process = context.Process(target=train, args=(tmp_path / "killed", epochs))
        process.start()
        _wait_for_a_checkpoint(tmp_path / "killed", rng)
        process.kill()
        process.join()
        killed += process.exitcode == -9
        assert process.exitcode in (-9, 0)
        if process.exitcode == 0:
            break
    assert killed == kills, "the training ended before it was killed so often"
    train(tmp_path / "killed", epochs)
    assert stub_task.result(tmp_path / "killed") == stub_task.result(tmp_path / "whole")


def _wait_for_a_checkpoint(run: Path, rng: random.Random) -> None:
    """Let the process live until it has saved something new, and a random moment longer."""
    state = run / "checkpoints" / "last" / "state.pt"
    before, begun = (state.stat().st_mtime_ns if state.exists() else 0), time.monotonic()
    while time.monotonic() - begun < 20 and (not state.exists() or state.stat().st_mtime_ns == before):
        time.sleep(0.005)
    time.sleep(rng.uniform(0, LONGEST_LIFE_SECONDS))
