"""Tubes along polylines, rasterised in small boxes with the share of each voxel that they fill."""

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
    for members in _alike(np.flatnonzero(meets), sizes):
        shape = tuple(sizes[members[0]].tolist())
        batch = max(1, int(_BATCH_VOXELS // np.prod(shape)))
        for first in range(0, len(members), batch):
            some = members[first : first + batch]
            away = _distance(slab, low[some], shape, a[some], b[some])
            away -= radii_mm[some, None, None, None].astype(np.float32)
            _raise(share, low[some], soft(away, slab.grid.spacing_mm[1]))


def _alike(members: Indices, sizes: Indices) -> list[Indices]:
    """Part indices into `sizes` (n, 3) into groups of one size."""
    if not len(members):
        return []
    members = members[np.lexsort(sizes[members].T)]
    return np.split(members, np.flatnonzero(np.diff(sizes[members], axis=0).any(axis=1)) + 1)


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


def _raise(share: Array, low: Indices, filled: Array) -> None:
    """Raise `share` to `filled` (n, ...) of boxes that begin at `low` (n, 3); what lies outside is emptied."""
    places = [low[:, axis, None] + np.arange(filled.shape[axis + 1]) for axis in range(3)]
    outside = [(place < 0) | (place >= size) for place, size in zip(places, share.shape, strict=True)]
    if any(part.any() for part in outside):
        filled[_outer(np.logical_or, *outside)] = 0.0
        places = [place.clip(0, size - 1) for place, size in zip(places, share.shape, strict=True)]
    z, y, x = places
    cells = _outer(np.add, z * (share.shape[1] * share.shape[2]), y * share.shape[2], x)
    np.maximum.at(share.reshape(-1), cells.reshape(-1), filled.reshape(-1))


def _outer(combine: np.ufunc, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Combine what is said of three axes of n boxes, (n, d), (n, h) and (n, w), to (n, d, h, w)."""
    combined: np.ndarray = combine(z[:, :, None, None], combine(y[:, :, None], x[:, None, :])[:, None])
    return combined


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
    total = _deposited(slab, points, volume)
    np.maximum(share, np.minimum(total, 1.0, dtype=np.float32), out=share)


def _deposited(slab: Slab, points: Points, amounts: Points) -> Points:
    """Divide an amount at each point among the eight voxels around it, and return the sums, (d, H, W)."""
    index = slab.to_index(points).T
    near = np.all((index >= -1.0) & (index < np.array(slab.shape)[:, None]), axis=0)
    index, amounts = index[:, near], amounts[near]
    base = np.floor(index).astype(int)
    depth, height, width = (size + 2 for size in slab.shape)  # a border, so that no corner needs a check
    first = ((base[0] + 1) * height + base[1] + 1) * width + base[2] + 1
    above = index - base
    z, y, x = zip(1.0 - above, above, strict=True)
    cells = [first + (dz * height + dy) * width + dx for dz, dy, dx in np.ndindex(2, 2, 2)]
    parts = [z[dz] * y[dy] * x[dx] * amounts for dz, dy, dx in np.ndindex(2, 2, 2)]
    sums = np.bincount(np.concatenate(cells), weights=np.concatenate(parts), minlength=depth * height * width)
    return np.asarray(sums.reshape(depth, height, width)[1:-1, 1:-1, 1:-1], dtype=np.float64)
