"""Tubes along polylines, rasterised in small boxes with the share of each voxel that they fill."""

from collections.abc import Iterator

import numpy as np

from pectl.phantom.grid import Array, Box, Points, Slab

_THIN_VOXELS = 0.9
"""Below this radius in pixels a tube is spread over its neighbours instead of being outlined."""


def paint_tubes(share: Array, slab: Slab, starts: Points, ends: Points, radii_mm: Points) -> None:
    """Raise `share` (d, H, W) to what tubes from `starts` to `ends` (n, 3, body frame) fill, in place."""
    thin = radii_mm < _THIN_VOXELS * slab.grid.spacing_mm[1]
    _spread_thin(share, slab, starts[thin], ends[thin], radii_mm[thin])
    for start, end, radius in zip(starts[~thin], ends[~thin], radii_mm[~thin], strict=True):
        paint_capsule(share, slab, start, end, float(radius))


def paint_capsule(share: Array, slab: Slab, start: Points, end: Points, radius_mm: float) -> None:
    """Raise `share` (d, H, W) to what one capsule fills, in place."""
    piece = capsule(slab, start, end, radius_mm)
    if piece is not None:
        box, distance = piece
        width = slab.grid.spacing_mm[1]
        view = share[box]
        np.maximum(view, np.clip(0.5 - distance / width, 0.0, 1.0), out=view)


def capsule(slab: Slab, start: Points, end: Points, radius_mm: float) -> tuple[Box, Array] | None:
    """Return the box of a capsule inside the slab and the signed distance in mm there, or None if outside."""
    nodes = slab.grid.to_index(np.stack([start, end]))
    nodes[:, 0] -= slab.start
    spacing = np.asarray(slab.grid.spacing_mm)
    box = box_around(nodes, radius_mm + spacing[1], slab)
    if box is None:
        return None
    axes = [
        (np.arange(part.start, part.stop) - nodes[0, axis]).astype(np.float32) * np.float32(spacing[axis])
        for axis, part in enumerate(box)
    ]
    qz, qy, qx = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    along = ((nodes[1] - nodes[0]) * spacing).astype(np.float32)
    square = float(along @ along) + 1e-9
    dot = qz * along[0] + (qy * along[1] + qx * along[2])
    t = np.clip(dot / square, 0.0, 1.0)
    squared = (qz * qz + (qy * qy + qx * qx)) + t * (t * square - 2.0 * dot)
    return box, np.sqrt(np.maximum(squared, 0.0)) - np.float32(radius_mm)


def ball(slab: Slab, centre: Points, radius_mm: float) -> tuple[Box, Array] | None:
    """Return the box of a ball inside the slab and the signed distance in mm there, or None if outside."""
    return capsule(slab, centre, centre, radius_mm)


def box_around(nodes: Points, margin_mm: float, slab: Slab) -> Box | None:
    """Return the part of the slab within `margin_mm` of index points (n, 3), or None where there is none."""
    margin = margin_mm / np.asarray(slab.grid.spacing_mm)
    low = np.maximum(np.floor(nodes.min(axis=0) - margin).astype(int), 0)
    high = np.minimum(np.ceil(nodes.max(axis=0) + margin).astype(int) + 1, slab.shape)
    if np.any(low >= high):
        return None
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def _spread_thin(share: Array, slab: Slab, starts: Points, ends: Points, radii_mm: Points) -> None:
    """Add tubes thinner than a voxel as points along their length, each with its part of the volume."""
    if not len(starts):
        return
    lengths = np.linalg.norm(ends - starts, axis=1)
    counts = np.maximum(1, np.ceil(lengths / (0.5 * min(slab.grid.spacing_mm)))).astype(int)
    tube = np.repeat(np.arange(len(starts)), counts)
    place = (np.arange(len(tube)) - np.repeat(np.cumsum(counts) - counts, counts) + 0.5) / counts[tube]
    points = starts[tube] + place[:, None] * (ends - starts)[tube]
    volume = np.pi * radii_mm[tube] ** 2 * lengths[tube] / counts[tube] / np.prod(slab.grid.spacing_mm)
    index = slab.grid.to_index(points) - [slab.start, 0, 0]
    total = np.zeros(share.size, dtype=np.float64)
    for cell, weight in _corners(index, slab.shape):
        total += np.bincount(cell, weights=weight[1] * volume[weight[0]], minlength=share.size)
    np.maximum(share, np.minimum(total, 1.0).reshape(share.shape).astype(np.float32), out=share)


def _corners(index: Points, shape: tuple[int, int, int]) -> Iterator[tuple[Points, tuple[Points, Points]]]:
    """Yield, for each of eight neighbours, the flat cells inside and (which points, their weights)."""
    base = np.floor(index).astype(int)
    fraction = index - base
    for corner in np.ndindex(2, 2, 2):
        cell = base + corner
        weight = np.prod(np.where(corner, fraction, 1.0 - fraction), axis=1)
        inside = np.all((cell >= 0) & (cell < shape), axis=1)
        yield np.ravel_multi_index(tuple(cell[inside].T), shape), (inside, weight[inside])
