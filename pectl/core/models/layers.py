"""Blocks of the two models. Shape letters: B batch, N windows, T slices, C channels, F features, H W pixels."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from pectl.core.batches.share import Share, whole
from pectl.core.models.norm import BatchNorm1d, BatchNorm3d


class ResidualBlock3d(nn.Module):
    """Two convolutions with batch norm, joined with their input (He et al. 2016; Tran et al. 2018).

    `depth` 3 looks at neighbouring slices (3x3x3, stride in all directions); 1 stays in plane (1x3x3).
    """

    def __init__(self, in_channels: int, out_channels: int, *, depth: int, stride: int) -> None:
        super().__init__()
        steps = (stride if depth > 1 else 1, stride, stride)
        self.conv1 = _conv_bn(in_channels, out_channels, kernel=(depth, 3, 3), stride=steps)
        self.conv2 = _conv_bn(out_channels, out_channels, kernel=(depth, 3, 3), stride=(1, 1, 1))
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else _conv_bn(in_channels, out_channels, kernel=(1, 1, 1), stride=steps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C', T', H/stride, W/stride)."""
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


def _conv_bn(
    in_channels: int, out_channels: int, *, kernel: tuple[int, int, int], stride: tuple[int, int, int]
) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    conv = nn.Conv3d(in_channels, out_channels, kernel, stride, padding, bias=False)
    return nn.Sequential(conv, BatchNorm3d(out_channels))


class SlimResNet3d(nn.Module):
    """A small 3-D ResNet with the part names of torchvision's `VideoResNet`, to learn from scratch on a CPU.

    One block a layer. Stem, layer1 and layer2 work in plane and keep all slices, so that a slice can be judged by
    itself; layer3 and layer4 look across slices ("top-heavy", Xie et al. 2018: cheaper and no worse).
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv_bn(3, width, kernel=(1, 5, 5), stride=(1, 2, 2)), nn.ReLU())
        self.layer1 = ResidualBlock3d(width, width, depth=1, stride=1)
        self.layer2 = ResidualBlock3d(width, 2 * width, depth=1, stride=2)
        self.layer3 = ResidualBlock3d(2 * width, 4 * width, depth=3, stride=2)
        self.layer4 = ResidualBlock3d(4 * width, 8 * width, depth=3, stride=2)


class TemporalBlock(nn.Module):
    """A residual pair of dilated 1-D convolutions over the windows of a study (Bai et al. 2018).

    Weight norm, batch norm over real windows only, dropout. `causal` looks only at windows before; otherwise both
    ways. Padding is zeroed before each convolution, so it never reaches a real window.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        kernel_size: int,
        dilation: int,
        dropout: float,
        causal: bool,
    ) -> None:
        super().__init__()
        span = (kernel_size - 1) * dilation
        self.pad = (span, 0) if causal else (span // 2, span // 2)
        self.conv1 = weight_norm(nn.Conv1d(in_channels, channels, kernel_size, dilation=dilation, bias=False))
        self.conv2 = weight_norm(nn.Conv1d(channels, channels, kernel_size, dilation=dilation, bias=False))
        self.norm1, self.norm2 = MaskedBatchNorm1d(channels), MaskedBatchNorm1d(channels)
        self.dropout = BatchDropout(dropout)
        self.shortcut = nn.Identity() if in_channels == channels else nn.Conv1d(in_channels, channels, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, C, N), mask (B, N) true at real windows -> (B, C', N)."""
        y = self.dropout(F.relu(self.norm1(self._convolve(self.conv1, x, mask), mask)))
        y = self.dropout(F.relu(self.norm2(self._convolve(self.conv2, y, mask), mask)))
        return F.relu(y + self.shortcut(x))

    def _convolve(self, conv: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
        out: Tensor = conv(F.pad(x * mask.unsqueeze(1), self.pad))
        return out


class BatchDropout(nn.Module):
    """Dropout that draws for a whole batch of which it may see a share, so that a row fares alike in any share."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.share: Share | None = None
        """Which rows of a batch come next; None for all."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, ...), each element dropped by itself."""
        if not (self.training and self.p):
            return x
        share = self.share or whole(len(x))
        kept = torch.rand(share.total, *x.shape[1:], device=x.device)[share.rows] >= self.p
        return x * kept / (1 - self.p)


def see_share(module: nn.Module, share: Share) -> None:
    """Tell every dropout in a module which rows of a batch it will see."""
    for part in module.modules():
        if isinstance(part, BatchDropout):
            part.share = share


class MaskedBatchNorm1d(BatchNorm1d):
    """Batch norm whose statistics come from the real windows only."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]  # the mask is the point
        """(B, C, N), mask (B, N) -> (B, C, N), zero at padding."""
        real = x.transpose(1, 2)[mask]  # (windows, C)
        out = x.new_zeros(x.shape[0], x.shape[2], x.shape[1])  # (B, N, C)
        out[mask] = super().forward(real).to(out.dtype)
        return out.transpose(1, 2)


class LabelAttention(nn.Module):
    """Attention pooling over the windows, one set of weights per label, joined with the maximum (Ma et al. 2022)."""

    def __init__(self, channels: int, *, labels: int) -> None:
        super().__init__()
        self.score = nn.Linear(channels, labels, bias=False)  # the softmax would take it out

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, C), mask (B, N) -> pooled (B, labels, 2C) and attention (B, labels, N), 0 at padding, sum 1."""
        scores = self.score(x).transpose(1, 2).masked_fill(~mask.unsqueeze(1), float("-inf"))  # (B, labels, N)
        attention = scores.softmax(dim=-1)
        mean = attention @ x  # (B, labels, C)
        peak = x.masked_fill(~mask.unsqueeze(-1), float("-inf")).amax(dim=1)  # (B, C)
        return torch.cat([mean, peak.unsqueeze(1).expand_as(mean)], dim=-1), attention
