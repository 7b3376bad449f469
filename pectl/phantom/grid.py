"""The voxel grid of one study, and the frames that its geometry is written in.

Body frame: mm, axes as LPS (x to the patient's left, y to the back, z to the head), origin at the carina.
Patient frame (LPS): the body frame, turned a little about z and moved to where the scanner's origin is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Points = NDArray[np.float64]
Indices = NDArray[np.int64]
Box = tuple[slice, slice, slice]

_SLAB_VOXELS = 4_000_000
"""Voxels rendered at once: bounds the memory of a 512x512 study to a few hundred MB."""
_PIECE_VOXELS = 300_000
"""Voxels painted at once where all of them are: what is worked on stays in the processor's cache."""


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
    """Slices `start` to `stop` (exclusive) of a grid, or the same window of each."""

    grid: Grid
    start: int
    stop: int
    window: tuple[slice, slice] | None = None
    """Rows and columns; None is all of them."""

    def widened(self, slices: int) -> "Slab":
        """Return the slab with so many slices more below and above, beyond the grid's ends too."""
        return Slab(self.grid, self.start - slices, self.stop + slices, self.window)

    def cut(self, box: Box) -> "Slab":
        """Return a box of the slab, which is given in the slab's own voxels."""
        _, top, left = self._low
        rows, columns = (slice(low + part.start, low + part.stop) for low, part in ((top, box[1]), (left, box[2])))
        return Slab(self.grid, self.start + box[0].start, self.start + box[0].stop, (rows, columns))

    def pieces(self) -> Iterator[Box]:
        """Yield boxes of whole slices, bottom first, that are small enough to be painted fast."""
        depth, height, width = self.shape
        step = max(1, _PIECE_VOXELS // (height * width))
        for start in range(0, depth, step):
            yield slice(start, min(depth, start + step)), slice(0, height), slice(0, width)

    def box_around(self, body: Points, margin_mm: float) -> Box | None:
        """Return the part of the slab within `margin_mm` of the cuboid around points (n, 3), None where there is none.

        The cuboid is upright in the grid; the points are in the body frame.
        """
        nodes, margin = self.to_index(body), margin_mm / np.asarray(self.grid.spacing_mm)
        low = np.maximum(np.floor(nodes.min(axis=0) - margin).astype(int), 0)
        high = np.minimum(np.ceil(nodes.max(axis=0) + margin).astype(int) + 1, self.shape)
        if np.any(low >= high):
            return None
        return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])

    def to_index(self, body: Points) -> Points:
        """Return the fractional voxel index (n, 3) in the slab of body-frame points (n, 3)."""
        index: Points = self.grid.to_index(body) - self._low
        return index

    @property
    def _low(self) -> tuple[int, int, int]:
        """Index in the grid of the slab's first voxel."""
        if self.window is None:
            return self.start, 0, 0
        return self.start, self.window[0].start, self.window[1].start

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, H, W)."""
        if self.window is None:
            return (self.stop - self.start, *self.grid.shape[1:])
        rows, columns = self.window
        return self.stop - self.start, rows.stop - rows.start, columns.stop - columns.start

    def places_mm(self, axis: int) -> Points:
        """Return where the voxels lie along an axis of the grid, in mm of `Grid.first_mm`, (n,)."""
        index = self._low[axis] + np.arange(self.shape[axis])
        return np.asarray(self.grid.first_mm[axis] + index * self.grid.spacing_mm[axis], dtype=np.float64)

    @cached_property
    def z(self) -> Array:
        """Body z of each slice, (d, 1, 1)."""
        return self.places_mm(0).astype(np.float32)[:, None, None]

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
        y, x = self.places_mm(1)[None, :, None], self.places_mm(2)[None, None, :]
        cosine, sine = np.cos(self.grid.angle_rad), np.sin(self.grid.angle_rad)
        return (x * cosine + y * sine).astype(np.float32), (y * cosine - x * sine).astype(np.float32)


def cuboid(low: Sequence[float] | Points, high: Sequence[float] | Points) -> Points:
    """Return the (8, 3) corners of a cuboid between two of them."""
    return np.array(list(product(*zip(low, high, strict=True))), dtype=np.float64)


def soft(distance_mm: Array, width_mm: float) -> Array:
    """Turn a signed distance (negative inside) into the share of a voxel that lies inside, 0 to 1."""
    share: Array = distance_mm / np.float32(width_mm)
    np.subtract(0.5, share, out=share)
    np.clip(share, 0.0, 1.0, out=share)
    return share


def mix(image: Array, share: Array, value: Array | float) -> None:
    """Replace a share (0 to 1) of each voxel of `image` by `value`, in place."""
    change: Array = value - image
    change *= share
    image += change


def mix_inside(image: Array, share: Array, value: Array | float) -> None:
    """Do as `mix` where the share is above 0; faster where that is so for few voxels."""
    inside = share > 0.0
    values = image[inside]
    mix(values, share[inside], value if isinstance(value, float) else value[inside])
    image[inside] = values
