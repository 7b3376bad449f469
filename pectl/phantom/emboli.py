"""Emboli: filling defects inside arteries, where they lie and what shape they have.

Acute emboli float in the lumen, outlined by contrast; chronic ones line the wall or cross the lumen as webs.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pectl.config import PhantomConfig
from pectl.phantom.grid import Array, Box, Points, Slab, soft
from pectl.phantom.tubes import box_around, capsule
from pectl.phantom.vessels import Branch, Tree

Kind = Literal["acute", "wall", "web"]

EMBOLUS_HU = (30.0, 90.0)
_STEP_MM = 3.0
_TRIES = 40


@dataclass(frozen=True, kw_only=True)
class Embolus:
    """One filling defect along a path of arteries."""

    kind: Kind
    path: Points
    """(n, 3) body-frame mm along the vessels' centre lines."""
    radii_mm: Points
    """(n - 1,) radius of the lumen around each piece of the path."""
    branches: tuple[int, ...]
    """The arteries it lies in."""
    share: float
    """Share of the lumen's cross-section that it takes."""
    lean: Points
    """(3,) unit vector across the path: towards the wall it leans on."""
    hu: float

    @property
    def chronic(self) -> bool:
        """Whether it is of the chronic kinds."""
        return self.kind != "acute"

    @property
    def length_mm(self) -> float:
        """Length along the vessel."""
        return float(np.linalg.norm(np.diff(self.path, axis=0), axis=1).sum())

    def fill(self, slab: Slab) -> tuple[Box, Array] | None:
        """Return a box of the slab and the share of each voxel there that the embolus fills, or None."""
        nodes = slab.grid.to_index(self.path) - [slab.start, 0, 0]
        box = box_around(nodes, float(self.radii_mm.max()) + slab.grid.spacing_mm[1], slab)
        if box is None:
            return None
        shape = tuple(part.stop - part.start for part in box)
        lumen, inner = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for index, radius in enumerate(self.radii_mm):
            start, end = self.path[index], self.path[index + 1]
            _raise_to(lumen, box, slab, start, end, float(radius))
            scale, shift = self._inner(index)
            offset = self.lean * shift * radius
            _raise_to(inner, box, slab, start + offset, end + offset, float(radius * scale))
        clot = inner if self.kind == "acute" else 1.0 - inner
        return box, np.minimum(lumen, clot)

    def _inner(self, index: int) -> tuple[float, float]:
        """Return radius and shift, both in lumen radii, of the clot (acute) or of the lumen left open (chronic)."""
        if self.kind == "acute":
            ends = min(index, len(self.radii_mm) - 1 - index)
            scale = np.sqrt(self.share) * (0.75 if ends == 0 else 1.0)
            return scale, 0.6 * (1.0 - scale)
        scale = np.sqrt(1.0 - self.share)
        return scale, -(1.0 - scale)


def _raise_to(share: Array, box: Box, slab: Slab, start: Points, end: Points, radius_mm: float) -> None:
    piece = capsule(slab, start, end, radius_mm)
    if piece is None:
        return
    part, distance = piece
    low = [max(a.start, b.start) for a, b in zip(part, box, strict=True)]
    high = [min(a.stop, b.stop) for a, b in zip(part, box, strict=True)]
    into = tuple(slice(a - b.start, c - b.start) for a, b, c in zip(low, box, high, strict=True))
    source = tuple(slice(a - b.start, c - b.start) for a, b, c in zip(low, part, high, strict=True))
    share[into] = np.maximum(share[into], soft(distance[source], slab.grid.spacing_mm[1]))


def draw_emboli(rng: np.random.Generator, tree: Tree, slab: Slab, config: PhantomConfig) -> list[Embolus]:
    """Draw the emboli of one positive study; each shows on at least one slice of the slab."""
    count = int(rng.integers(config.emboli[0], config.emboli[1] + 1))
    kinds = _kinds(rng, count, config)
    central = rng.random() < config.central_share
    found: list[Embolus] = []
    for position, kind in enumerate(kinds):
        for attempt in range(_TRIES):
            wide = attempt > _TRIES // 2  # small ones may be too small to show: go to the largest arteries
            embolus = _draw_one(rng, tree, kind, config, central=(central and position == 0) or wide)
            if visible_slices(embolus, slab, config.present_area_mm2).any():
                found.append(embolus)
                break
    return found


def visible_slices(embolus: Embolus, slab: Slab, area_mm2: float) -> np.ndarray:
    """Return (slices,) whether the embolus' mask reaches the area that counts as present on an image."""
    shown = np.zeros(slab.shape[0], dtype=bool)
    filled = embolus.fill(slab)
    if filled is not None:
        box, share = filled
        shown[box[0]] = image_area_mm2(share > 0.5, slab.grid.spacing_mm) >= area_mm2
    return shown


def image_area_mm2(mask: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Return the area of a mask (D, H, W) on each slice in mm2, (D,)."""
    area: np.ndarray = mask.sum(axis=(1, 2)) * (spacing_mm[1] * spacing_mm[2])
    return area


def _kinds(rng: np.random.Generator, count: int, config: PhantomConfig) -> list[Kind]:
    draw = rng.random()
    chronic = [("wall", "web")[int(rng.random() < config.web_share)] for _ in range(count)]
    if draw < config.chronic_share:
        return chronic  # type: ignore[return-value]
    if draw < config.chronic_share + config.acute_and_chronic_share:
        return ["acute", *chronic[: max(1, count - 1)]]  # type: ignore[list-item]
    return ["acute"] * count


def _draw_one(
    rng: np.random.Generator, tree: Tree, kind: Kind, config: PhantomConfig, *, central: bool
) -> Embolus:
    length = rng.uniform(*config.embolus_length_mm)
    if central and kind == "acute" and rng.random() < config.saddle_share:
        path, branches = _saddle(tree, length)
    else:
        path, branches = _run(rng, tree, length, config, central=central)
    points, radii, touched = _resample(tree.branches, path, branches)
    return Embolus(
        kind=kind, path=points, radii_mm=radii, branches=touched,
        share=rng.uniform(*config.lumen_share), lean=_across(rng, points[-1] - points[0]),
        hu=rng.uniform(*EMBOLUS_HU),
    )  # fmt: skip


def _run(
    rng: np.random.Generator, tree: Tree, length: float, config: PhantomConfig, *, central: bool
) -> tuple[Points, list[int]]:
    """Walk down the tree from a random artery until the length is reached; return points and their branches."""
    hosts = [
        i for i, branch in enumerate(tree.branches) if _may_hold(branch, config.min_artery_radius_mm, central)
    ]
    current = hosts[int(rng.integers(len(hosts)))]
    points = _dense(tree.branches[current].points)
    points = points[int(rng.integers(0, max(1, len(points) // 2))) :]
    owners = [current] * len(points)
    while _length(points) < length and (next_ones := tree.children(current)):
        current = max(next_ones, key=lambda index: tree.branches[index].radius_mm * rng.uniform(0.8, 1.0))
        more = _dense(tree.branches[current].points)[1:]
        points = np.concatenate([points, more])
        owners += [current] * len(more)
    return _cut(points, owners, length)


def _may_hold(branch: Branch, min_radius_mm: float, central: bool) -> bool:
    if central:
        return branch.level == "main"
    return branch.level not in ("trunk", "main") and branch.radius_mm >= min_radius_mm


def _saddle(tree: Tree, length: float) -> tuple[Points, list[int]]:
    """Return a path of this length over the bifurcation of the trunk, from the right to the left main artery."""
    right, left = (
        next(i for i, b in enumerate(tree.branches) if b.level == "main" and b.side == s)
        for s in ("right", "left")
    )
    halves = []
    for index in (right, left):
        halves.append(_cut(_dense(tree.branches[index].points), [index] * 1000, length / 2))
    points = np.concatenate([halves[0][0][::-1], halves[1][0][1:]])
    return points, [right] * len(halves[0][0]) + [left] * (len(halves[1][0]) - 1)


def _dense(points: Points) -> Points:
    """Put points every few mm along a polyline."""
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    even = np.linspace(0.0, at[-1], max(2, int(at[-1] / _STEP_MM) + 1))
    return np.stack([np.interp(even, at, column) for column in points.T], axis=1)


def _length(points: Points) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def _cut(points: Points, owners: list[int], length: float) -> tuple[Points, list[int]]:
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    keep = max(2, int(np.searchsorted(at, length, side="right")))
    return points[:keep], owners[:keep]


def _resample(
    branches: list[Branch], path: Points, owners: list[int]
) -> tuple[Points, Points, tuple[int, ...]]:
    """Return the path, the lumen's radius around each piece, and the arteries it lies in."""
    radii = np.array([branches[owner].radius_mm for owner in owners])
    return path, np.minimum(radii[:-1], radii[1:]), tuple(dict.fromkeys(owners))


def _across(rng: np.random.Generator, direction: Points) -> Points:
    across = np.cross(direction, rng.standard_normal(3))
    unit: Points = across / (np.linalg.norm(across) + 1e-9)
    return unit
