"""The voxel grid of one study, and the frames that its geometry is written in.

Body frame: mm, axes as LPS (x to the patient's left, y to the back, z to the head), origin at the carina.
Patient frame (LPS): the body frame, turned a little about z and moved to where the scanner's origin is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Points = NDArray[np.float64]
Indices = NDArray[np.int64]
Box = tuple[slice, slice, slice]

_SLAB_VOXELS = 4_000_000
"""Voxels rendered at once: bounds the memory of a 512x512 study to a few hundred MB."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Voxel centres of a study in canonical orientation (D up, H to the back, W to the left)."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    """Step between voxel centres along D, H, W."""
    first_mm: tuple[float, float, float]
    """Voxel (0, 0, 0) as z, y, x before the move to the patient frame."""
    angle_rad: float = 0.0
    """How far the patient is turned about z on the table."""
    offset_lps_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @cached_property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4): (d, h, w, 1) to LPS mm of the voxel centre."""
        matrix = np.zeros((4, 4))
        for axis in range(3):  # column axis of D, H, W moves row z, y, x
            matrix[2 - axis, axis] = self.spacing_mm[axis]
            matrix[2 - axis, 3] = self.first_mm[axis] + self.offset_lps_mm[2 - axis]
        matrix[3, 3] = 1.0
        return matrix

    def to_lps(self, body: Points) -> Points:
        """Move points (n, 3) x, y, z from the body frame to LPS mm."""
        points: Points = self._turned(body) + np.asarray(self.offset_lps_mm)
        return points

    def to_index(self, body: Points) -> Points:
        """Return the fractional voxel index (n, 3) d, h, w of body-frame points (n, 3) x, y, z."""
        from_first = self._turned(body)[:, ::-1] - np.asarray(self.first_mm)
        index: Points = from_first / np.asarray(self.spacing_mm)
        return index

    def _turned(self, body: Points) -> Points:
        cosine, sine = np.cos(self.angle_rad), np.sin(self.angle_rad)
        turn = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        turned: Points = np.atleast_2d(body) @ turn
        return turned

    def slabs(self) -> Iterator["Slab"]:
        """Cut the grid into slabs of whole slices that fit in memory, bottom first."""
        depth, height, width = self.shape
        step = max(4, _SLAB_VOXELS // (height * width))
        for start in range(0, depth, step):
            yield Slab(self, start, min(depth, start + step))

    def whole(self) -> "Slab":
        """Return the grid as one slab."""
        return Slab(self, 0, self.shape[0])


@dataclass(frozen=True)
class Slab:
    """Slices `start` to `stop` (exclusive) of a grid."""

    grid: Grid
    start: int
    stop: int

    def widened(self, slices: int) -> "Slab":
        """Return the slab with so many slices more below and above, beyond the grid's ends too."""
        return Slab(self.grid, self.start - slices, self.stop + slices)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, H, W)."""
        return (self.stop - self.start, *self.grid.shape[1:])

    @cached_property
    def z(self) -> Array:
        """Body z of each slice, (d, 1, 1)."""
        index = np.arange(self.start, self.stop, dtype=np.float64)
        values = self.grid.first_mm[0] + index * self.grid.spacing_mm[0]
        return values.astype(np.float32)[:, None, None]

    @cached_property
    def y(self) -> Array:
        """Body y of each pixel, (1, H, W)."""
        return self._plane[1]

    @cached_property
    def x(self) -> Array:
        """Body x of each pixel, (1, H, W)."""
        return self._plane[0]

    @cached_property
    def _plane(self) -> tuple[Array, Array]:
        _, height, width = self.grid.shape
        _, dy, dx = self.grid.spacing_mm
        y = (self.grid.first_mm[1] + np.arange(height) * dy)[None, :, None]
        x = (self.grid.first_mm[2] + np.arange(width) * dx)[None, None, :]
        cosine, sine = np.cos(self.grid.angle_rad), np.sin(self.grid.angle_rad)
        return (x * cosine + y * sine).astype(np.float32), (y * cosine - x * sine).astype(np.float32)


def soft(distance_mm: Array, width_mm: float) -> Array:
    """Turn a signed distance (negative inside) into the share of a voxel that lies inside, 0 to 1."""
    share: Array = np.clip(0.5 - distance_mm / np.float32(width_mm), 0.0, 1.0)
    return share


def mix(image: Array, share: Array, value: Array | float) -> None:
    """Replace a share (0 to 1) of each voxel of `image` by `value`, in place."""
    image += share * (value - image)
