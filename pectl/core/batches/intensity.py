"""HU ranges: linear maps of Hounsfield units to [0, 1], one channel each, on the device of the data.

All that stage 1 sees, in training, validation, extraction and explanation, comes through here with the `[windows]`
section that it was trained with, which its run keeps.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pectl.config import WindowsConfig
from pectl.core.batches.contrast import scale_contrast


def to_channels(hu: Tensor, windows: WindowsConfig) -> Tensor:
    """(B, T, H, W) float HU -> (B, C, T, H, W) in [0, 1], channels last, a channel for each HU range.

    Example:
        >>> windows = WindowsConfig(hu_ranges={"pe": (-250.0, 450.0)})
        >>> hu = torch.tensor([-1000.0, 100.0, 450.0]).reshape(1, 1, 1, 3)
        >>> to_channels(hu, windows).flatten().tolist()
        [0.0, 0.5, 1.0]
    """
    ranges = windows.hu_ranges.values()
    lower = hu.new_tensor([low for low, _ in ranges])  # (C,)
    width = hu.new_tensor([high - low for low, high in ranges])
    fixed = hu.unsqueeze(-1).sub(lower).div_(width).clamp_(0.0, 1.0).movedim(-1, 1)
    return fixed if windows.hu_scaling == "fixed" else _stretched(fixed)


def _stretched(x: Tensor) -> Tensor:
    """Map each slice of (B, C, T, H, W) from its own minimum and maximum to [0, 1]; one without differences to 0."""
    low, high = x.amin(dim=(3, 4), keepdim=True), x.amax(dim=(3, 4), keepdim=True)  # (B, C, T, 1, 1)
    return (x - low) / torch.where(high > low, high - low, 1.0)


def resize(hu: Tensor, px: int) -> Tensor:
    """(B, T, S, S) int16 or float HU -> (B, T, px, px) float HU, bilinear and antialiased."""
    hu = hu.to(torch.float32, copy=True)
    if hu.shape[-1] == px:
        return hu
    return F.interpolate(hu, size=(px, px), mode="bilinear", antialias=hu.shape[-1] > px, align_corners=False)


def prepare(hu: Tensor, gain: Tensor, windows: WindowsConfig, px: int) -> Tensor:
    """(B, T, S, S) int16 HU -> (B, C, T, px, px), channels last: what stage 1 sees outside training.

    Args:
        hu: of the windows.
        gain: (B,) of `contrast_gain`.
        windows: the channels.
        px: side of the result.
    """
    return to_channels(scale_contrast(resize(hu, px), gain), windows)
