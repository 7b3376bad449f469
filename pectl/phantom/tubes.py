"""Tubes along polylines, rasterised in small boxes with the share of each voxel that they fill."""

from collections.abc import Iterator

import numpy as np

from pectl.phantom.grid import Array, Box, Indices, Points, Slab, mix_inside, soft

_THIN_PX = 0.8
"""Below this radius in pixels a tube is spread over its neighbours instead of being outlined."""
_BATCH_VOXELS = 100_000


def tubes(slab: Slab, starts: Points, ends: Points, radii_mm: Points) -> tuple[Box, Array] | None:
    """Return a box of the slab that holds tubes from `starts` to `ends` (n, 3) and the share of each voxel they fill.

    None: all of them lie outside the slab.
    """
    meets = _meet(slab, starts, ends, radii_mm)
    starts, ends, radii_mm = starts[meets], ends[meets], radii_mm[meets]
    if not len(starts):
        return None
    box = slab.box_around(np.concatenate([starts, ends]), float(radii_mm.max()) + 2.0 * max(slab.grid.spacing_mm))
    if box is None:
        return None
    part = slab.cut(box)
    share = np.zeros(part.shape, dtype=np.float32)
    thin = radii_mm < _THIN_PX * slab.grid.spacing_mm[1]
    _spread_thin(share, part, starts[thin], ends[thin], radii_mm[thin])
    outline(share, part, starts[~thin], ends[~thin], radii_mm[~thin])
    return box, share


def paint_tubes(hu: Array, slab: Slab, pieces: tuple[Points, Points, Points], value: float) -> None:
    """Paint tubes, given as starts, ends and radii, over a slab (d, H, W), in place."""
    painted = tubes(slab, *pieces)
    if painted is not None:
        box, share = painted
        mix_inside(hu[box], share, value)


def capsule(slab: Slab, start: Points, end: Points, radius_mm: float) -> tuple[Box, Array] | None:
    """Return the box of a capsule inside the slab and the signed distance in mm there, or None if outside."""
    ends = np.stack([start, end])
    box = slab.box_around(ends, radius_mm + slab.grid.spacing_mm[1])
    if box is None:
        return None
    nodes = slab.to_index(ends)
    low = np.array([part.start for part in box])
    shape = tuple(part.stop - part.start for part in box)
    away = _distance(slab, low[None], shape, nodes[:1], nodes[1:])[0]
    away -= np.float32(radius_mm)
    return box, away


def ball(slab: Slab, centre: Points, radius_mm: float) -> tuple[Box, Array] | None:
    """Return the box of a ball inside the slab and the signed distance in mm there, or None if outside."""
    return capsule(slab, centre, centre, radius_mm)


def _meet(slab: Slab, starts: Points, ends: Points, radii_mm: Points) -> np.ndarray:
    """Return (n,) whether a tube may reach a slice of the slab; the body's z is the grid's."""
    z = slab.z[:, 0, 0]
    margin = radii_mm + 2.0 * max(slab.grid.spacing_mm)
    meets: np.ndarray = np.maximum(starts[:, 2], ends[:, 2]) + margin > z[0]
    meets &= np.minimum(starts[:, 2], ends[:, 2]) - margin < z[-1]
    return meets


def outline(share: Array, slab: Slab, starts: Points, ends: Points, radii_mm: Points) -> None:
    """Raise `share` to what each capsule fills; capsules with boxes of one shape are done together."""
    if not len(starts):
        return
    a, b = slab.to_index(starts), slab.to_index(ends)
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
    t = dot / square
    np.clip(t, 0.0, 1.0, out=t)
    distance: Array = t * square
    dot *= np.float32(2.0)
    distance -= dot
    distance *= t
    distance += qz * qz + (qy * qy + qx * qx)
    np.maximum(distance, 0.0, out=distance)
    np.sqrt(distance, out=distance)
    return distance


def _raise(share: Array, low: Points, filled: Array) -> None:
    """Raise `share` to `filled` (n, ...) of boxes that begin at `low` (n, 3)."""
    first = np.maximum(low, 0)
    last = np.minimum(low + filled.shape[1:], share.shape)
    for part, (z, y, x), (z0, y0, x0), (z1, y1, x1) in zip(
        filled, low.tolist(), first.tolist(), last.tolist(), strict=True
    ):
        view = share[z0:z1, y0:y1, x0:x1]
        np.maximum(view, part[z0 - z : z1 - z, y0 - y : y1 - y, x0 - x : x1 - x], out=view)


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
    cells, points_in, weights = (np.concatenate(parts) for parts in zip(*_corners(slab, points), strict=True))
    total = np.bincount(cells, weights=weights * volume[points_in], minlength=share.size)
    np.maximum(share, np.minimum(total, 1.0, dtype=np.float32).reshape(share.shape), out=share)


def _corners(slab: Slab, points: Points) -> Iterator[tuple[Indices, Indices, Points]]:
    """Yield for each of eight neighbours: flat cells in the slab, which points lie there, their weights."""
    depth, height, width = slab.shape
    index = np.ascontiguousarray(slab.to_index(points).T)
    base = np.floor(index).astype(int)
    above = index - base
    below = 1.0 - above
    for corner in np.ndindex(2, 2, 2):
        z, y, x = (base[axis] + corner[axis] for axis in range(3))
        inside = (z >= 0) & (z < depth) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        (points_in,) = np.nonzero(inside)
        weights = [(above if corner[axis] else below)[axis, points_in] for axis in range(3)]
        yield ((z * height + y) * width + x)[points_in], points_in, weights[0] * weights[1] * weights[2]
