"""Random changes of training windows, made on the training device on int16 batches."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pectl.config import AugmentConfig
from pectl.core.data.intensity import AIR_HU


def augment(hu: Tensor, px: int, config: AugmentConfig) -> tuple[Tensor, Tensor]:
    """Mirror, turn, scale, shift each window in plane, then shift its HU and add noise.

    Draws from torch's CPU generator, so that a seed fixes the result on every device.

    Args:
        hu: (B, T, S, S) int16 HU.
        px: side of the result.
        config: sizes of the changes.

    Returns:
        (B, T, px, px) float HU, and (B,) bool: which windows were mirrored left-right.
    """
    batch = hu.shape[0]
    mirrored = torch.rand(batch) < config.flip_left_right
    theta = _transforms(mirrored, config).to(hu.device)  # (B, 2, 3)
    grid = F.affine_grid(theta, [batch, 1, px, px], align_corners=False)  # (B, px, px, 2)
    above_air = hu.float() - AIR_HU  # outside the image grid_sample puts 0, which is then air
    out = F.grid_sample(above_air, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + AIR_HU
    offset = (torch.rand(batch, 1, 1, 1) * 2 - 1) * config.offset_hu
    out += offset.to(hu.device)
    if config.noise_hu:
        level = torch.rand(batch, 1, 1, 1).to(hu.device) * config.noise_hu
        out += torch.randn(out.shape).to(hu.device) * level
    return out, mirrored


def _transforms(mirrored: Tensor, config: AugmentConfig) -> Tensor:
    """Return (B, 2, 3) affine matrices from output to input coordinates in [-1, 1]."""
    batch = len(mirrored)
    angle = (torch.rand(batch) * 2 - 1) * math.radians(config.rotation_deg)
    low, high = config.zoom
    zoom = low + torch.rand(batch) * (high - low)
    shift = (torch.rand(batch, 2) * 2 - 1) * 2 * config.shift  # the image is 2 wide in these coordinates
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    sign = torch.where(mirrored, -1.0, 1.0)
    rows = [torch.stack([cos * sign, -sin, shift[:, 0]], 1), torch.stack([sin * sign, cos, shift[:, 1]], 1)]
    return torch.stack(rows, 1)
