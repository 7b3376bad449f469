"""Each switch of a training does what its key says, and can be resumed."""

import os
import random
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.precision.amp import MixedPrecision
from safetensors.torch import load_file
from torch import nn

from pectl.core.batches.share import Share, whole
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.errors import Interrupted, TrainingError
from pectl.training.device import make_fabric
from pectl.training.losses import window_sums
from pectl.training.step import Stepper
from tests.training.stub_task import CONFIG, StubTask, result, train


class Line(nn.Module):
    """y = w x, whose gradients are known."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight


X = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5], [-2.0, 4.0], [1.0, 0.0]])


def stepped(steps: int = 3, fabric: Fabric | None = None, **switches: object) -> Stepper:
    config = CONFIG.model_copy(update={"clip_norm": 0.0, "schedule": "constant", "weight_decay": 0.0} | switches)
    fabric = fabric or make_fabric("cpu")
    stepper = Stepper(Line(), config, fabric=fabric, seed=0, steps_per_epoch=steps)

    def loss_of(model: nn.Module, part: Share) -> torch.Tensor:
        return model(X[part.rows]).square().sum() / part.total

    for number in range(steps):
        stepper.step(number, whole(len(X)), loss_of)
    return stepper


@pytest.mark.parametrize("passes", [2, 3, 5])
def test_accumulation_makes_the_same_step(passes: int) -> None:
    torch.testing.assert_close(stepped(accumulate=passes).bare.weight, stepped().bare.weight, rtol=1e-6, atol=1e-7)


def test_dropout_and_loss_are_those_of_one_pass(tmp_path: Path) -> None:
    """Batch norm alone tells passes apart; with it in evaluation mode nothing does."""

    def still(task: StubTask) -> None:
        for part in task.model.modules():
            if isinstance(part, nn.BatchNorm1d):
                part.train = lambda mode=True, part=part: part  # type: ignore[method-assign]
                part.training = False

    for passes in (1, 2):
        train(tmp_path / str(passes), still, CONFIG.model_copy(update={"batch_size": 4, "accumulate": passes}))
    one, two = (pd.read_csv(tmp_path / str(passes) / "metrics.csv") for passes in (1, 2))
    pd.testing.assert_frame_equal(one, two, rtol=1e-5, atol=1e-6)


def test_clipping_bounds_the_gradient() -> None:
    stepper = stepped(steps=1, clip_norm=0.5)
    assert stepper.bare.weight.grad.norm().item() == pytest.approx(0.5, rel=1e-5)
    assert stepped(steps=1).bare.weight.grad.norm() > 5


def test_moving_average_by_hand_is_what_is_judged() -> None:
    seen = [stepped(steps).bare.weight.detach().clone() for steps in (1, 2, 3)]
    expected = seen[0]
    for weight in seen[1:]:
        expected = 0.9 * expected + 0.1 * weight
    averaged = stepped(ema_decay=0.9)
    torch.testing.assert_close(averaged.judged.weight, expected)
    assert torch.equal(averaged.bare.weight, seen[2])
    assert stepped().judged is not averaged.judged


def test_moving_average_is_kept_as_best_and_resumed(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"ema_decay": 0.8})
    train(tmp_path / "whole", config=config)
    best, last = (load_file(tmp_path / "whole" / "checkpoints" / c / "model.safetensors") for c in ("best", "last"))
    weight = "members.0.exam_head.label.weight"
    assert not torch.equal(best[weight], last[weight])

    def stop(task: StubTask) -> None:
        task.on_step = lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 6 else None

    with pytest.raises(Interrupted):
        train(tmp_path / "stopped", stop, config)
    train(tmp_path / "stopped", config=config)
    assert result(tmp_path / "stopped") == result(tmp_path / "whole")


def scaled(growth_interval: int = 2000, start: float = 2.0**16) -> Fabric:
    """Fabric in fp16 with a loss scale, which it refuses on a CPU by itself."""
    scaler = torch.amp.GradScaler("cpu", init_scale=start, growth_interval=growth_interval)
    precision = MixedPrecision("16-mixed", device="cpu", scaler=scaler)
    return Fabric(accelerator="cpu", devices=1, plugins=[precision, LightningEnvironment()])


def test_fp16_with_its_scale_trains_like_fp32() -> None:
    fabric = scaled(start=64.0)
    torch.testing.assert_close(stepped(fabric=fabric).bare.weight, stepped().bare.weight, rtol=2e-3, atol=2e-3)


def test_a_step_that_fp16_skips_is_no_error_and_halves_the_scale() -> None:
    fabric = scaled(start=2.0**60)  # gradients overflow until it has come down
    stepper = stepped(steps=30, fabric=fabric)
    assert stepper.bare.weight.isfinite().all()
    assert stepper.state()["scaler"]["scale"] == 2.0**30
    assert torch.equal(stepper.bare.weight, torch.tensor([1.0, -2.0]))


def test_the_scale_is_resumed() -> None:
    stepper = stepped(fabric=scaled(growth_interval=1, start=8.0))
    state = stepper.state()
    assert state["scaler"]["scale"] == 64.0
    other = stepped(steps=0, fabric=scaled(growth_interval=1, start=8.0))
    other.restore(state)
    assert other.state()["scaler"] == state["scaler"]


def test_non_finite_loss_in_a_pass_names_the_studies_of_the_pass(tmp_path: Path) -> None:
    def spoil(task: StubTask) -> None:
        task.features[5] = float("nan")

    with pytest.raises(TrainingError, match="found nan in a batch of the studies study-5; look at these studies"):
        train(tmp_path, spoil, CONFIG.model_copy(update={"accumulate": 2}))


def test_channels_last_changes_the_layout_and_rounding_alone() -> None:
    torch.manual_seed(0)
    spec = Stage1Spec(backbone="slim_16", in_channels=3, slice_supervision=True, multitask=True)
    model = WindowEncoder(spec)
    x, labels = torch.rand(2, 3, 10, 32, 32), torch.tensor([[0] * 9 + [1], [0] * 10], dtype=torch.int8)
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        model = model.to(memory_format=layout)
        assert model.backbone.layer3.conv1[0].weight.is_contiguous(memory_format=layout)
        model.zero_grad()
        logits = model(x.contiguous(memory_format=layout))
        window_sums(logits, labels, torch.ones(2, 6), slice_weight=1.0, multitask_weight=1.0).sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_other_random_generators_have_no_say(tmp_path: Path) -> None:
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the global generator is the point
        train(tmp_path / str(seed))
    assert result(tmp_path / "1") == result(tmp_path / "2")
