import pytest
import torch
from torch import nn

from pectl.core.models.layers import (
    LabelAttention,
    MaskedBatchNorm1d,
    ResidualBlock3d,
    SlimResNet3d,
    TemporalBlock,
)

LENGTHS = (7, 4, 5)


@pytest.fixture
def mask() -> torch.Tensor:
    return torch.arange(7) < torch.tensor(LENGTHS)[:, None]  # (3, 7)


def test_masked_batch_norm_is_batch_norm_over_the_real_windows(mask: torch.Tensor) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5, 7)
    ours, theirs = MaskedBatchNorm1d(5), nn.BatchNorm1d(5)
    real = x.transpose(1, 2)[mask]
    out = ours(x.masked_fill(~mask.unsqueeze(1), 1e6), mask)
    torch.testing.assert_close(out.transpose(1, 2)[mask], theirs(real))
    assert (out.transpose(1, 2)[~mask] == 0).all()
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_attention_sums_to_one_is_zero_at_padding_and_pools_mean_and_maximum(mask: torch.Tensor) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 7, 4).masked_fill(~mask.unsqueeze(-1), 50.0)
    pooled, attention = LabelAttention(4, labels=9)(x, mask)
    torch.testing.assert_close(attention.sum(-1), torch.ones(3, 9))
    assert (attention.transpose(1, 2)[~mask] == 0).all()
    assert pooled.shape == (3, 9, 8)
    torch.testing.assert_close(pooled[1, 0, 4:], x[1, :4].amax(0))
    torch.testing.assert_close(pooled[1, 2, :4], attention[1, 2, :4] @ x[1, :4])


@pytest.mark.parametrize(("causal", "before", "after"), [(True, 8, 0), (False, 4, 4)])
def test_temporal_block_sees_only_its_receptive_field(causal: bool, before: int, after: int) -> None:
    torch.manual_seed(0)
    block = TemporalBlock(3, 6, kernel_size=3, dilation=2, dropout=0.0, causal=causal).eval()
    x, mask = torch.randn(1, 3, 30), torch.ones(1, 30, dtype=torch.bool)
    changed = x.clone()
    changed[:, :, 15] += 3.0
    moved = (block(x, mask) != block(changed, mask)).any(1).squeeze(0).nonzero().squeeze(1)
    assert (15 - moved.min().item(), moved.max().item() - 15) == (after, before)


def test_blocks_keep_slices_in_plane_and_halve_them_across() -> None:
    x = torch.randn(2, 4, 10, 16, 16)
    assert ResidualBlock3d(4, 8, depth=1, stride=2)(x).shape == (2, 8, 10, 8, 8)
    assert ResidualBlock3d(4, 8, depth=3, stride=2)(x).shape == (2, 8, 5, 8, 8)
    assert isinstance(ResidualBlock3d(4, 4, depth=3, stride=1).shortcut, nn.Identity)


def test_slim_resnet_judges_each_slice_by_itself_up_to_layer2() -> None:
    torch.manual_seed(0)
    net = SlimResNet3d(width=4).eval()
    x = torch.randn(1, 3, 10, 32, 32)
    changed = x.clone()
    changed[:, :, 6] += 1.0
    layer2 = [net.layer2(net.layer1(net.stem(each))) for each in (x, changed)]
    moved = (layer2[0] != layer2[1]).any(1).flatten(2).any(-1).squeeze(0)  # (T,)
    assert moved.nonzero().flatten().tolist() == [6]
