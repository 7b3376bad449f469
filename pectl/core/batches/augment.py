"""Random changes of training windows, made on the training device on int16 batches."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pectl.config import AugmentConfig
from pectl.core.batches.contrast import for_each, scale_contrast
from pectl.core.batches.share import Share, whole
from pectl.core.labels.names import LEFT, MULTITASK_LABELS, RIGHT
from pectl.core.storage.hounsfield import AIR_HU

DRAWS = 7
"""Random numbers of a window, each in [0, 1): mirror, angle, zoom, two shifts, offset, level of the noise."""


class Augmented(NamedTuple):
    """Changed windows, and how they were moved."""

    hu: Tensor
    """(B, T, px, px) float HU."""
    mirrored: Tensor
    """(B,) bool: which windows were mirrored left-right."""
    grid: Tensor
    """(B, px, px, 2): where each pixel was taken from, as (x, y) in [-1, 1] of the image."""


_OTHER_SIDE = {LEFT: RIGHT, RIGHT: LEFT}


def augment(hu: Tensor, gain: Tensor, px: int, config: AugmentConfig, share: Share | None = None) -> Augmented:
    """Mirror, turn, scale, shift each window in plane, then change its contrast phase, shift its HU and add noise.

    Draws from torch's CPU generator for the whole batch: a window's changes are the same in whatever share of the
    batch it is computed. The noise comes from a generator of each window's own, on the device of the data.

    Args:
        hu: (B, T, S, S) int16 HU.
        gain: (B,) of `contrast_gain`.
        px: side of the result.
        config: sizes of the changes.
        share: which rows of a batch `hu` is; None for all.
    """
    share = share or whole(len(hu))
    draws = torch.rand(share.total, DRAWS)[share.rows].unbind(1)  # (B,) each
    seeds = torch.randint(2**62, (share.total,))[share.rows]
    phase = torch.rand(share.total)[share.rows]
    mirrored = draws[0] < config.flip_left_right
    theta = _transforms(mirrored, *draws[1:5], config=config).to(hu.device)  # (B, 2, 3)
    grid = F.affine_grid(theta, [len(hu), 1, px, px], align_corners=False)  # (B, px, px, 2)
    above_air = hu.float() - AIR_HU  # outside the image grid_sample puts 0, which is then air
    out = F.grid_sample(above_air, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + AIR_HU
    low, high = config.contrast_gain
    scale_contrast(out, gain * (low + phase * (high - low)).to(gain.device))
    offset = (draws[5] * 2 - 1) * config.offset_hu
    out += for_each(offset, out)
    if config.noise_hu:
        _add_noise(out, seeds, draws[6] * config.noise_hu)
    return Augmented(out, mirrored, grid)


def move(embolus: Tensor, grid: Tensor) -> Tensor:
    """Move what is marked on windows, (B, T, S, S), as `augment` moved these: (B, T, px, px) float, 0 to 1."""
    return F.grid_sample((embolus > 0).float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def swap_sides(targets: Tensor, mirrored: Tensor) -> Tensor:
    """Exchange left and right in the (B, len(MULTITASK_LABELS)) labels of the windows that are mirrored, (B,) bool."""
    columns = [MULTITASK_LABELS.index(_OTHER_SIDE.get(name, name)) for name in MULTITASK_LABELS]
    return torch.where(mirrored.to(targets.device).unsqueeze(1), targets[:, columns], targets)


def _transforms(mirrored: Tensor, *draws: Tensor, config: AugmentConfig) -> Tensor:
    """Return (B, 2, 3) affine matrices from output to input coordinates in [-1, 1].

    Args:
        mirrored: (B,) bool.
        draws: (B,) in [0, 1) each: angle, zoom, shift along rows, shift along columns.
        config: sizes of the changes.
    """
    turn, magnify, *move = draws
    angle = (turn * 2 - 1) * math.radians(config.rotation_deg)
    low, high = config.zoom
    zoom = low + magnify * (high - low)
    shift = [(part * 2 - 1) * 2 * config.shift for part in move]  # the image is 2 wide in these coordinates
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    sign = torch.where(mirrored, -1.0, 1.0)
    rows = [torch.stack([cos * sign, -sin, shift[0]], 1), torch.stack([sin * sign, cos, shift[1]], 1)]
    return torch.stack(rows, 1)


def _add_noise(out: Tensor, seeds: Tensor, levels: Tensor) -> None:
    """Add normal noise of a standard deviation of `levels` (B,) HU to the windows (B, T, px, px)."""
    for window, seed, level in zip(out, seeds.tolist(), levels.tolist(), strict=True):
        generator = torch.Generator(out.device).manual_seed(seed)
        window += torch.randn(window.shape, generator=generator, device=out.device) * level
