"""Emboli: filling defects inside arteries, and the share of each voxel that they fill.

Acute emboli float in the lumen, outlined by contrast; chronic ones line the wall or cross the lumen as webs.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pectl.phantom.grid import Array, Box, Points, Slab, soft
from pectl.phantom.tubes import outline

EMBOLUS_HU = (30.0, 90.0)
Kind = Literal["acute", "wall", "web"]

_TIP = 0.75
"""Radius of an acute embolus at its ends, as a share of that in its middle."""
_FLOAT = 0.6
"""How far an acute embolus leans to the wall, as a share of the room that it has."""


@dataclass(frozen=True, kw_only=True)
class Embolus:
    """One filling defect along a path of arteries."""

    kind: Kind
    path: Points
    """(n, 3) body-frame mm along the arteries' centre lines."""
    radii_mm: Points
    """(n - 1,) radius of the lumen around each piece of the path."""
    branches: tuple[int, ...]
    """Indices of the arteries it lies in."""
    share: float
    """Share of the lumen's cross-section that it takes."""
    lean: Points
    """(3,) unit vector across the path: towards the wall it leans on."""
    hu: float

    @property
    def chronic(self) -> bool:
        """Whether it is of a chronic kind."""
        return self.kind != "acute"

    @property
    def length_mm(self) -> float:
        """Length along the vessel."""
        return float(np.linalg.norm(np.diff(self.path, axis=0), axis=1).sum())

    def fill(self, slab: Slab) -> tuple[Box, Array] | None:
        """Return a box of the slab and the share of each voxel there that the embolus fills, or None."""
        box = slab.box_around(self.path, float(self.radii_mm.max()) + slab.grid.spacing_mm[1])
        if box is None:
            return None
        lumen = self._tube(slab, box, np.ones_like(self.radii_mm), 0.0)
        if self.kind == "web":
            return box, np.minimum(lumen, self._sheet(slab, box))
        if self.kind == "wall":
            scale = float(np.sqrt(1.0 - self.share))  # of the lumen that stays open, on the far side
            left_open = self._tube(slab, box, np.full_like(self.radii_mm, scale), scale - 1.0)
            return box, np.minimum(lumen, 1.0 - left_open)
        scale = float(np.sqrt(self.share))
        scales = np.full_like(self.radii_mm, scale)
        scales[[0, -1]] *= _TIP
        return box, np.minimum(lumen, self._tube(slab, box, scales, _FLOAT * (1.0 - scale)))

    def _tube(self, slab: Slab, box: Box, scales: Points, shift: float) -> Array:
        """Return what a tube along the path fills in `box`; scales and shift are in lumen radii."""
        part = slab.cut(box)
        share = np.zeros(part.shape, dtype=np.float32)
        offsets = self.lean * (shift * self.radii_mm)[:, None]
        outline(share, part, self.path[:-1] + offsets, self.path[1:] + offsets, self.radii_mm * scales)
        return share

    def _sheet(self, slab: Slab, box: Box) -> Array:
        """Return the share in `box` of a sheet through the path's middle, across `lean`."""
        middle = self.path[len(self.path) // 2]
        plane = (slice(None), *box[1:])
        away = (
            (slab.x[plane] - middle[0]) * self.lean[0]
            + (slab.y[plane] - middle[1]) * self.lean[1]
            + (slab.z[box[0]] - middle[2]) * self.lean[2]
        )
        # a band as wide as the share of the lumen, wherever the path bends to
        thickness = self.share * float(self.radii_mm.mean()) * np.pi / 4
        return soft(np.abs(away).astype(np.float32) - np.float32(thickness), slab.grid.spacing_mm[1])


def image_area_mm2(mask: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Return the area of a mask (D, H, W) on each slice in mm2, (D,)."""
    area: np.ndarray = mask.sum(axis=(1, 2)) * (spacing_mm[1] * spacing_mm[2])
    return area
