"""A training killed with SIGKILL at random points and resumed ends as one that was left alone."""

import multiprocessing
import random
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pectl.config import Config, Stage2Config
from pectl.core.models.stage2 import SequenceClassifier, Stage2Spec
from pectl.pipeline.device import make_fabric
from pectl.pipeline.loop import Trainer
from pectl.pipeline.run import RunFolder

SPEC = Stage2Spec(model="tcn", feature_size=3, hidden=4, levels=1, kernel_size=3, causal=False, dropout=0.3)
LONGEST_LIFE_SECONDS = 0.25


class Task:
    """Five slow batches an epoch, with dropout."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = SequenceClassifier(SPEC)
        self.features, self.targets = torch.randn(10, 2, 3), torch.randint(0, 2, (10, 9)).float()

    def batches(self, epoch: int) -> list[Tensor]:
        return list(torch.randperm(10, generator=torch.Generator().manual_seed(epoch)).split(2))

    def load(self, key: Tensor) -> Tensor:
        return key

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        out = model(self.features[batch], torch.zeros(len(batch), 2), torch.ones(len(batch), 2, dtype=torch.bool))
        return nn.functional.binary_cross_entropy_with_logits(out.exam, self.targets[batch])

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        return {"val_loss": self.loss(model, torch.arange(10)).item()}

    def studies(self, key: Tensor) -> list[str]:
        return []


def train(path: Path, epochs: int) -> None:
    config = Stage2Config(
        epochs=epochs, batch_size=2, learning_rate=0.01, schedule="one-cycle", clip_norm=1.0, checkpoint_minutes=1e-6
    )
    torch.set_num_threads(1)
    run = RunFolder(path)
    run.begin(Config(), {"config": "d"}, resume=True)
    Trainer(Task(), run, config, fabric=make_fabric("cpu"), seed=7).fit(lambda done, total: None)


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_again_and_again(tmp_path: Path, kills: int) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torchvision", "pectl.pipeline.loop"])
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
    for name in ("metrics.csv", "checkpoints/last/model.safetensors", "checkpoints/best/model.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def _wait_for_a_checkpoint(run: Path, rng: random.Random) -> None:
    """Let the process live until it has saved something new, and a random moment longer."""
    state = run / "checkpoints" / "last" / "state.pt"
    before, begun = (state.stat().st_mtime_ns if state.exists() else 0), time.monotonic()
    while time.monotonic() - begun < 20 and (not state.exists() or state.stat().st_mtime_ns == before):
        time.sleep(0.005)
    time.sleep(rng.uniform(0, LONGEST_LIFE_SECONDS))
