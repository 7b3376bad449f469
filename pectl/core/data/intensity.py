"""HU ranges: fixed linear maps of Hounsfield units to [0, 1], one channel each, on the device of the data."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

AIR_HU = -1024.0
"""What lies outside the scanned field, and the lowest value a store holds."""


def to_channels(hu: Tensor, ranges: Sequence[tuple[float, float]]) -> Tensor:
    """(B, T, H, W) float HU -> (B, C, T, H, W) in [0, 1], a channel for each (lower, upper) range."""
    lower = hu.new_tensor([low for low, _ in ranges]).view(1, -1, 1, 1, 1)
    width = hu.new_tensor([high - low for low, high in ranges]).view(1, -1, 1, 1, 1)
    return ((hu.unsqueeze(1) - lower) / width).clamp_(0.0, 1.0)


def resize(hu: Tensor, px: int) -> Tensor:
    """(B, T, S, S) int16 or float HU -> (B, T, px, px) float HU, bilinear and antialiased."""
    hu = hu.float()
    if hu.shape[-1] == px:
        return hu
    return F.interpolate(hu, size=(px, px), mode="bilinear", antialias=hu.shape[-1] > px, align_corners=False)


def prepare(hu: Tensor, ranges: Sequence[tuple[float, float]], px: int) -> Tensor:
    """(B, T, S, S) int16 HU -> (B, C, T, px, px): what stage 1 sees outside training."""
    return to_channels(resize(hu, px), ranges).contiguous(memory_format=torch.channels_last_3d)
