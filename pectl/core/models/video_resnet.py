"""The 3-D ResNets of torchvision's video models (Tran et al. 2018), without the seconds that importing it takes.

Names of the weights, their random values under a seed and what comes out are torchvision's to the bit; a test holds it.
"""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

KINETICS_ACTIONS = 400


class Conv3d(nn.Conv3d):
    """3x3x3: in plane and along the slices at once (R3D)."""

    strides_along = True

    def __init__(self, in_channels: int, out_channels: int, middle: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, (3, 3, 3), stride, 1, bias=False)


class Conv2d(nn.Conv3d):
    """1x3x3: in plane alone (the upper layers of MC3)."""

    strides_along = False

    def __init__(self, in_channels: int, out_channels: int, middle: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)


class Conv2Plus1d(nn.Sequential):
    """1x3x3, then 3x1x1, with `middle` channels between (R(2+1)D)."""

    strides_along = True

    def __init__(self, in_channels: int, out_channels: int, middle: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(in_channels, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, out_channels, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
        )


Conv = type[Conv3d] | type[Conv2d] | type[Conv2Plus1d]


class Block(nn.Module):
    """Two convolutions with batch norm, joined with their input."""

    def __init__(self, in_channels: int, out_channels: int, conv: Conv, *, stride: int) -> None:
        super().__init__()
        # as many weights in 2+1 steps as in one of 3x3x3
        middle = (in_channels * out_channels * 27) // (in_channels * 9 + 3 * out_channels)
        same = stride == 1 and in_channels == out_channels
        shortcut = None if same else _shortcut(in_channels, out_channels, conv, stride)
        self.conv1 = nn.Sequential(
            conv(in_channels, out_channels, middle, stride), nn.BatchNorm3d(out_channels), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(conv(out_channels, out_channels, middle), nn.BatchNorm3d(out_channels))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C', T', H/stride, W/stride)."""
        y: Tensor = self.conv2(self.conv1(x))
        y += x if self.downsample is None else self.downsample(x)
        joined: Tensor = self.relu(y)
        return joined


def _shortcut(in_channels: int, out_channels: int, conv: Conv, stride: int) -> nn.Sequential:
    strides = (stride if conv.strides_along else 1, stride, stride)
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, 1, strides, bias=False),
        nn.BatchNorm3d(out_channels),
    )


class Stem(nn.Sequential):
    """3x7x7, half the size in plane."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv3d(3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False), nn.BatchNorm3d(64), nn.ReLU(inplace=True)
        )


class Stem2Plus1d(nn.Sequential):
    """1x7x7, then 3x1x1."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv3d(3, 45, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            nn.BatchNorm3d(45),
            nn.ReLU(inplace=True),
            nn.Conv3d(45, 64, (3, 1, 1), (1, 1, 1), (1, 0, 0), bias=False),
            nn.BatchNorm3d(64),
            nn.ReLU(inplace=True),
        )


class VideoResNet(nn.Module):
    """A 3-D ResNet: `stem`, `layer1` .. `layer4`, and `fc` for the actions of Kinetics-400, which nothing here calls.

    Args:
        convs: the convolution of each layer.
        blocks: of each layer.
        stem: the first convolution.
    """

    channels: ClassVar[tuple[int, ...]] = (64, 128, 256, 512)

    def __init__(self, convs: Sequence[Conv], *, blocks: int, stem: type[nn.Module] = Stem) -> None:
        super().__init__()
        self.stem = stem()
        before = self.channels[0]
        for place, (channels, conv) in enumerate(zip(self.channels, convs, strict=True), 1):
            first = Block(before, channels, conv, stride=1 if place == 1 else 2)
            others = [Block(channels, channels, conv, stride=1) for _ in range(blocks - 1)]
            setattr(self, f"layer{place}", nn.Sequential(first, *others))
            before = channels
        self.fc = nn.Linear(before, KINETICS_ACTIONS)
        for part in self.modules():
            _begin(part)


def _begin(part: nn.Module) -> None:
    """Give a layer its first weights."""
    if isinstance(part, nn.Conv3d):
        nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(part, nn.Linear):
        nn.init.normal_(part.weight, 0, 0.01)
        nn.init.zeros_(part.bias)


def r3d_18() -> VideoResNet:
    """Return R3D-18: 3x3x3 throughout."""
    return VideoResNet([Conv3d] * 4, blocks=2)


def r3d_10() -> VideoResNet:
    """Return half the blocks of R3D-18."""
    return VideoResNet([Conv3d] * 4, blocks=1)


def mc3_18() -> VideoResNet:
    """Return MC3-18: 3x3x3 in layer1, in plane above."""
    return VideoResNet([Conv3d, Conv2d, Conv2d, Conv2d], blocks=2)


def r2plus1d_18() -> VideoResNet:
    """Return R(2+1)D-18."""
    return VideoResNet([Conv2Plus1d] * 4, blocks=2, stem=Stem2Plus1d)
