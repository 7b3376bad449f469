"""The check itself, on networks whose gradients are made wrong; whether this machine's are right is its own affair."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import video

from pectl.core.models.bf16_gradients import TOLERANCE, check_bf16_gradients, gradient_errors
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier
from pectl.errors import DeviceError
from tests.stage2_specs import stage2_spec


class Doubled(nn.Conv3d):
    """A convolution whose gradients in bf16 are twice what they should be."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if torch.is_autocast_enabled("cpu"):
            y.register_hook(lambda grad: 2 * grad)
        return y


def test_rounding_passes_and_leaves_the_network_as_it_was() -> None:
    torch.manual_seed(0)
    model = WindowEncoder(Stage1Spec(backbone="slim_16", in_channels=3, slice_supervision=True)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    errors = gradient_errors(model, torch.rand(2, 3, 10, 32, 32))
    assert len(errors) == 12
    assert all(0 < error < TOLERANCE for error in errors.values())
    check_bf16_gradients(model, torch.rand(2, 3, 10, 32, 32))
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("model", ["tcn", "gru"])
def test_stage_2_can_be_checked_whose_weights_are_normed(model: str) -> None:
    torch.manual_seed(0)
    classifier = SequenceClassifier(stage2_spec(model=model, ensemble=2))
    inputs = torch.rand(2, 5, 3), torch.rand(2, 5), torch.rand(2, 5, 2), torch.ones(2, 5, dtype=torch.bool)
    errors = gradient_errors(classifier, *inputs)
    assert len(errors) == (6 if model == "tcn" else 0)  # a shortcut and two of its block, for each member
    assert all(0 <= error < TOLERANCE for error in errors.values())


def test_wrong_gradients_are_refused_and_their_layer_is_named() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(2, 4, 3), nn.ReLU(), Doubled(4, 4, 3))
    with pytest.raises(DeviceError) as refused:
        check_bf16_gradients(model, torch.rand(1, 2, 8, 8, 8))
    assert (
        "precision = bf16: expected gradients within 2% of those in fp32, found others in 1 layers, such as 2"
        in str(refused.value)
    )
    assert "use precision = fp32" in str(refused.value)


def test_nan_is_wrong() -> None:
    model = nn.Sequential(nn.Conv1d(1, 1, 3))
    with torch.no_grad():
        model[0].weight.fill_(torch.nan)
    with pytest.raises(DeviceError, match="such as 0"):
        check_bf16_gradients(model, torch.rand(1, 1, 8))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_no_layer_but_those_that_cpus_are_known_to_get_wrong(layout: torch.memory_format) -> None:
    """Those of layer4 (input 2 deep) are garbage on some CPUs: docs/background/traps.md."""
    torch.manual_seed(0)
    model = video.r3d_18().to(memory_format=layout)
    errors = gradient_errors(model, torch.rand(2, 3, 10, 32, 32).contiguous(memory_format=layout))
    assert len(errors) == 20
    assert all(error < TOLERANCE for name, error in errors.items() if not name.startswith("layer4"))
