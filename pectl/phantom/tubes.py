"""Tubes along polylines, rasterised in small boxes with the share of each voxel that they fill."""

from collections.abc import Iterator

import numpy as np

from pectl.phantom.grid import Array, Box, Points, Slab, soft

_THIN_PX = 0.8
"""Below this radius in pixels a tube is spread over its neighbours instead of being outlined."""
_BATCH_VOXELS = 400_000


def tubes_share(slab: Slab, starts: Points, ends: Points, radii_mm: Points) -> Array:
    """Return the share of each voxel (d, H, W) that tubes from `starts` to `ends` (n, 3, body frame) fill."""
    share = np.zeros(slab.shape, dtype=np.float32)
    thin = radii_mm < _THIN_PX * slab.grid.spacing_mm[1]
    _spread_thin(share, slab, starts[thin], ends[thin], radii_mm[thin])
    _outline(share, slab, starts[~thin], ends[~thin], radii_mm[~thin])
    return share


def capsule(slab: Slab, start: Points, end: Points, radius_mm: float) -> tuple[Box, Array] | None:
    """Return the box of a capsule inside the slab and the signed distance in mm there, or None if outside."""
    nodes = _index(slab, np.stack([start, end]))
    box = box_around(nodes, radius_mm + slab.grid.spacing_mm[1], slab)
    if box is None:
        return None
    low = np.array([part.start for part in box])
    shape = tuple(part.stop - part.start for part in box)
    away = _distance(slab, low[None], shape, nodes[:1], nodes[1:])[0]
    return box, away - np.float32(radius_mm)


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


def _index(slab: Slab, points: Points) -> Points:
    """Return the fractional index of body-frame points in the slab, (n, 3)."""
    index: Points = slab.grid.to_index(points) - [slab.start, 0, 0]
    return index


def _outline(share: Array, slab: Slab, starts: Points, ends: Points, radii_mm: Points) -> None:
    """Raise `share` to what each capsule fills; capsules with boxes of one shape are done together."""
    if not len(starts):
        return
    a, b = _index(slab, starts), _index(slab, ends)
    margin = (radii_mm[:, None] + slab.grid.spacing_mm[1]) / np.asarray(slab.grid.spacing_mm)
    low = np.floor(np.minimum(a, b) - margin).astype(int)
    high = np.ceil(np.maximum(a, b) + margin).astype(int) + 1
    sizes = (high - low + 1) // 2 * 2  # even sizes: fewer shapes
    meets = np.all((high > 0) & (low < slab.shape), axis=1)
    for shape in np.unique(sizes[meets], axis=0):
        members = np.flatnonzero(meets & np.all(sizes == shape, axis=1))
        batch = max(1, int(_BATCH_VOXELS // np.prod(shape)))
        for first in range(0, len(members), batch):
            some = members[first : first + batch]
            away = _distance(slab, low[some], tuple(shape), a[some], b[some])
            away -= radii_mm[some, None, None, None].astype(np.float32)
            _raise(share, low[some], soft(away, slab.grid.spacing_mm[1]))


def _distance(slab: Slab, low: Points, shape: tuple[int, ...], a: Points, b: Points) -> Array:
    """Return the distance in mm to lines from a to b (n, 3, index) in boxes at `low`, (n, *shape)."""
    spacing = np.asarray(slab.grid.spacing_mm)
    along = ((b - a) * spacing).astype(np.float32)
    axes = [
        ((low[:, axis, None] - a[:, axis, None] + np.arange(shape[axis])) * spacing[axis]).astype(np.float32)
        for axis in range(3)
    ]
    qz, qy, qx = axes[0][:, :, None, None], axes[1][:, None, :, None], axes[2][:, None, None, :]
    az, ay, ax = (along[:, axis, None, None, None] for axis in range(3))
    square = (along**2).sum(axis=1)[:, None, None, None] + np.float32(1e-9)
    dot = qz * az + (qy * ay + qx * ax)
    t = np.clip(dot / square, 0.0, 1.0)
    squared: Array = (qz * qz + (qy * qy + qx * qx)) + t * (t * square - 2.0 * dot)
    distance: Array = np.sqrt(np.maximum(squared, 0.0))
    return distance


def _raise(share: Array, low: Points, filled: Array) -> None:
    """Raise `share` to `filled` (n, ...) of boxes that begin at `low` (n, 3)."""
    member, *cell = np.nonzero(filled)
    index = [low[member, axis] + cell[axis] for axis in range(3)]
    inside = np.all([(i >= 0) & (i < size) for i, size in zip(index, share.shape, strict=True)], axis=0)
    flat = np.ravel_multi_index([i[inside] for i in index], share.shape)
    np.maximum.at(share.reshape(-1), flat, filled[member, *cell][inside])


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
    total = np.zeros(share.size, dtype=np.float64)
    for cell, points_in, weight in _corners(_index(slab, points), slab.shape):
        total += np.bincount(cell, weights=weight * volume[points_in], minlength=share.size)
    np.maximum(share, np.minimum(total, 1.0).reshape(share.shape).astype(np.float32), out=share)


def _corners(index: Points, shape: tuple[int, int, int]) -> Iterator[tuple[Points, Points, Points]]:
    """Yield for each of eight neighbours: flat cells in the slab, which points lie there, their weights."""
    base = np.floor(index).astype(int)
    fraction = index - base
    for corner in np.ndindex(2, 2, 2):
        cell = base + corner
        weight = np.prod(np.where(corner, fraction, 1.0 - fraction), axis=1)
        inside = np.all((cell >= 0) & (cell < shape), axis=1)
        yield np.ravel_multi_index(tuple(cell[inside].T), shape), inside, weight[inside]
