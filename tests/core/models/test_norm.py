from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import video

from pectl.core.models.norm import BatchNorm1d, BatchNorm3d, groups_of, use_group_norm, use_own_batch_norm
from pectl.core.models.stage1 import BACKBONES, Stage1Spec, WindowEncoder
from pectl.core.storage.processes import find_processes
from pectl.training.device import make_fabric
from tests.training.several import end, start_two

SHARES = ([0, 1, 2], [3, 4])


def case() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (5, 4, 2, 3, 3)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) * 3 + 100 for _ in range(2))


def outcome(norm: nn.Module, x: torch.Tensor, grad: torch.Tensor) -> dict[str, torch.Tensor]:
    """Two training steps' worth of statistics, and the last one's output and gradients."""
    torch.manual_seed(1)
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    norm(x * 2)
    x = x.clone().requires_grad_()
    y = norm(x)
    y.backward(grad)
    state = {"y": y.detach(), "x": x.grad, "weight": norm.weight.grad, "bias": norm.bias.grad}
    return state | {name: value.clone() for name, value in norm.named_buffers()}


def normalise_share(folder: Path) -> None:
    fabric = make_fabric("cpu", processes=find_processes())
    x, grad = case()
    rows = SHARES[fabric.global_rank]
    mine = outcome(BatchNorm3d(4).double(), x[rows], grad[rows])
    torch.save(mine, folder / f"{fabric.global_rank}.pt")


def test_two_processes_normalise_uneven_shares_as_one_does_the_whole(tmp_path: Path) -> None:
    whole = outcome(nn.BatchNorm3d(4).double(), *case())
    assert end(start_two(normalise_share, tmp_path)) == [0, 0]
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    close = {"rtol": 1e-9, "atol": 1e-9}
    for name in ("y", "x"):
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), whole[name], **close)
    for name in ("weight", "bias"):
        torch.testing.assert_close(parts[0][name] + parts[1][name], whole[name], **close)
    for part in parts:
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            torch.testing.assert_close(part[name], whole[name], **close)


def test_one_process_has_torchs_own_layer() -> None:
    x, grad = case()
    ours, theirs = outcome(BatchNorm3d(4).double(), x, grad), outcome(nn.BatchNorm3d(4).double(), x, grad)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    flat = torch.randn(6, 4)
    assert torch.equal(BatchNorm1d(4)(flat), nn.BatchNorm1d(4)(flat))


def test_own_batch_norm_takes_the_place_of_torchs_with_its_weights() -> None:
    torch.manual_seed(0)
    model = video.r3d_18()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    use_own_batch_norm(model)
    kinds = {type(part) for part in model.modules() if isinstance(part, nn.BatchNorm3d)}
    assert kinds == {BatchNorm3d}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_group_norm_leaves_no_batch_norm_and_no_running_statistics(backbone: str) -> None:
    spec = {"backbone": backbone, "in_channels": 1, "slice_supervision": False}
    with torch.device("meta"):
        before, model = WindowEncoder(Stage1Spec(**spec)), WindowEncoder(Stage1Spec(**spec, norm="group"))
    assert not [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    assert not list(model.buffers())
    assert sum(isinstance(part, nn.GroupNorm) for part in model.modules()) == sum(
        isinstance(part, nn.BatchNorm3d) for part in before.modules()
    )
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in before.named_parameters()]


@torch.inference_mode()
def test_group_norm_judges_a_window_by_itself_in_training_too() -> None:
    torch.manual_seed(0)
    norm = nn.Sequential(BatchNorm3d(16))
    use_group_norm(norm)
    x = torch.randn(3, 16, 2, 4, 4) * 5 + 2
    y = norm.train()(x)
    torch.testing.assert_close(y[1:2], norm(x[1:2]))
    first = y[0].view(2, 8, -1)  # two groups of eight channels
    torch.testing.assert_close(first.mean(dim=(1, 2)), torch.zeros(2), atol=1e-5, rtol=0.0)
    torch.testing.assert_close(first.var(dim=(1, 2), correction=0), torch.ones(2), atol=1e-4, rtol=0.0)


def test_groups_have_eight_channels_or_a_few_more_where_eight_do_not_fit() -> None:
    assert {channels: groups_of(channels) for channels in (4, 8, 16, 45, 64, 144, 230, 512)} == {
        4: 1,
        8: 1,
        16: 2,
        45: 5,
        64: 8,
        144: 18,
        230: 23,
        512: 64,
    }
