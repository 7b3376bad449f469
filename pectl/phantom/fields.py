"""Smooth random fields: made on a coarse lattice, interpolated to the voxels of a slab."""

from dataclasses import dataclass

import numpy as np

from pectl.phantom.grid import Array, Slab

_MARGIN_CELLS = 2


@dataclass(frozen=True)
class SmoothField:
    """A random field of zero mean and unit deviation whose grain is `cell_mm`."""

    lattice: Array
    """(nz, ny, nx) values at `first_mm + index * cell_mm` of the grid's own axes."""
    first_mm: tuple[float, float, float]
    cell_mm: float

    @classmethod
    def draw(cls, rng: np.random.Generator, slab: Slab, cell_mm: float) -> "SmoothField":
        """Draw a field that covers the slab's grid."""
        extent = [n * step for n, step in zip(slab.grid.shape, slab.grid.spacing_mm, strict=True)]
        shape = tuple(int(length / cell_mm) + 2 * _MARGIN_CELLS + 1 for length in extent)
        lattice = rng.standard_normal(shape, dtype=np.float32) * np.float32(1.4)  # interpolation averages
        first = tuple(value - _MARGIN_CELLS * cell_mm for value in slab.grid.first_mm)
        return cls(lattice, first, cell_mm)  # type: ignore[arg-type]

    def on(self, slab: Slab) -> Array:
        """Return the field at the voxels of a slab, (d, H, W)."""
        along_z, along_y, along_x = (
            _interpolation((slab.places_mm(axis) - self.first_mm[axis]) / self.cell_mm, self.lattice.shape[axis])
            for axis in range(3)
        )
        planes = np.tensordot(along_z, self.lattice, axes=1)  # (d, ny, nx)
        values: Array = np.matmul(np.matmul(along_y, planes), along_x.T)
        return values


def _interpolation(position: np.ndarray, cells: int) -> Array:
    """Return (n, cells) weights of smoothstep interpolation at fractional lattice positions (n,)."""
    base = np.clip(np.floor(position).astype(int), 0, cells - 2)
    part = np.clip(position - base, 0.0, 1.0)
    part = part * part * (3.0 - 2.0 * part)
    weights = np.zeros((len(position), cells), dtype=np.float32)
    weights[np.arange(len(position)), base] = 1.0 - part
    weights[np.arange(len(position)), base + 1] = part
    return weights
