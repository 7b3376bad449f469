"""Branching trees of arteries and veins that fill the lungs, radii by Murray's law.

A tree grows over points drawn in its lobes: each branch heads for the middle of its points, which are then
cut in two for its children. A branch carries a flow in proportion to its points, and its radius is the root's
times the cube root of its share of the flow, so that r0^3 = r1^3 + r2^3 at every branching (Murray, PNAS
12:207, 1926).
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pectl.phantom.body.anatomy import BOTTOM_MM, TOP_MM, Anatomy
from pectl.phantom.body.heart import Heart
from pectl.phantom.courses import LOBES, Level, Side, Stem
from pectl.phantom.grid import Indices, Points

_REACH = 0.42
"""How far of the way to the middle of its points a branch goes before it divides."""
_HEART_GAP_MM, _PUSHES = 5.0, 3
_LARGE_POINTS = 12
"""A branch that feeds more points than this is drawn with four pieces, others with two."""
_SEGMENTAL_GENERATIONS = 2
"""The first divisions of a lobe's artery count as segmental, later ones as subsegmental."""


class Branch(NamedTuple):
    """A stretch of vessel between two branchings, of one radius."""

    points: Points
    """(n, 3) body-frame mm from its start to its end."""
    radius_mm: float
    level: Level
    side: Side
    parent: int
    """Index of the branch it comes from, -1 for a root."""


@dataclass
class Tree:
    """Branches, parents before children."""

    branches: list[Branch] = field(default_factory=list)
    _children: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def children(self, index: int) -> list[int]:
        """Return the indices of the branches that start where branch `index` ends."""
        return self._children.get(index, [])

    def add(self, branch: Branch) -> int:
        """Append a branch and return its index."""
        self.branches.append(branch)
        self._children[branch.parent].append(len(self.branches) - 1)
        return len(self.branches) - 1

    def extend(self, branches: list[Branch]) -> Indices:
        """Append branches and return their indices, (n,)."""
        first = len(self.branches)
        self.branches += branches
        for index, branch in enumerate(branches, start=first):
            self._children[branch.parent].append(index)
        return np.arange(first, len(self.branches))

    def keep_off_heart(self, heart: Heart, first: int) -> None:
        """Move branches from index `first` on out of the heart, in place."""
        lines = keep_off_heart([branch.points for branch in self.branches[first:]], heart)
        for index, points in enumerate(lines, start=first):
            if points is not self.branches[index].points:
                self.branches[index] = self.branches[index]._replace(points=points)

    def tubes(self) -> tuple[Points, Points, Points]:
        """Return starts (n, 3), ends (n, 3) and radii (n,) of all straight pieces."""
        points = np.concatenate([branch.points for branch in self.branches])
        counts = np.array([len(branch.points) for branch in self.branches])
        last = np.zeros(len(points), dtype=bool)
        last[np.cumsum(counts) - 1] = True
        starts = np.flatnonzero(~last)
        return points[starts], points[starts + 1], np.repeat([branch.radius_mm for branch in self.branches], counts - 1)


def keep_off_heart(lines: list[Points], heart: Heart) -> list[Points]:
    """Move points of lines (n, 3) that lie in the heart or touch it to its surface and a little further.

    Lines that are clear of the heart come back as they are.
    """
    moved = np.concatenate(lines)
    near = np.flatnonzero(heart.distance(*moved.T) < _HEART_GAP_MM)
    for _ in range(_PUSHES):
        points = moved[near]
        distance = heart.distance(*points.T)
        outward = np.stack([heart.distance(*(points + step).T) - distance for step in np.eye(3)], axis=1)
        outward /= np.linalg.norm(outward, axis=1, keepdims=True) + 1e-9
        moved[near] = points + outward * np.maximum(_HEART_GAP_MM - distance, 0.0)[:, None]
    changed = np.zeros(len(moved), dtype=bool)
    changed[near] = True
    stops = np.cumsum([len(line) for line in lines])
    starts = np.concatenate([[0], stops[:-1]])
    touched = np.logical_or.reduceat(changed, starts).tolist()
    return [
        moved[start:stop] if touches else line
        for line, start, stop, touches in zip(lines, starts.tolist(), stops.tolist(), touched, strict=True)
    ]


def lobe_points(rng: np.random.Generator, anatomy: Anatomy, count: int) -> dict[str, Points]:
    """Draw `count` points spread evenly through both lungs and sort them by lobe."""
    found: list[Points] = []
    while sum(map(len, found)) < count:
        box = rng.uniform((-140.0, -95.0, BOTTOM_MM - 20.0), (140.0, 95.0, TOP_MM), size=(3 * count, 3))
        x, y, z = box.T.astype(np.float32)
        found.append(box[anatomy.lung_distance(x, y, z) < -3.0])
    points = np.concatenate(found)[:count]
    x, y, z = points.T
    lower = z < 30.0 - (60.0 - y) * 1.1  # below the oblique fissure: high at the back, low at the front
    right = np.where(lower, "RL", np.where(z < -30.0, "RM", "RU"))  # the horizontal fissure cuts RM off
    lobe = np.where(x < 0.0, right, np.where(lower, "LL", "LU"))
    return {name: points[lobe == name] for name in LOBES}


def grow_tree(
    rng: np.random.Generator,
    stems: dict[str, Stem],
    targets: dict[str, Points],
    *,
    root_radius_mm: float,
    shift_mm: Points,
) -> Tree:
    """Grow a tree from its stems to the targets of each lobe.

    Args:
        rng: draws where points are cut.
        stems: the named vessels, parents first.
        targets: (n, 3) body-frame mm of each lobe.
        root_radius_mm: of the vessel that would carry the flow of all targets.
        shift_mm: (3,), moves the stems.
    """
    tree, index = Tree(), dict[str, int]()
    unit = float(root_radius_mm / sum(map(len, targets.values())) ** (1 / 3))
    for name, stem in stems.items():
        flow = sum(len(targets[lobe]) for lobe in stem.lobes)
        index[name] = tree.add(
            Branch(
                points=np.asarray(stem.points) + shift_mm,
                radius_mm=unit * flow ** (1 / 3),
                level=stem.level,
                side=stem.side,
                parent=-1 if stem.parent is None else index[stem.parent],
            )
        )
    ends = [name for name in stems if all(other.parent != name for other in stems.values())]
    fed = [np.concatenate([targets[lobe] for lobe in stems[name].lobes]) for name in ends]
    _grow(rng, tree, [index[name] for name in ends], fed, unit)
    return tree


def _grow(rng: np.random.Generator, tree: Tree, roots: list[int], fed: list[Points], unit: float) -> None:
    """Send two branches from each end, generation by generation, until each ends at a single point."""
    parents = np.array(roots)
    counts = np.array([len(points) for points in fed])
    points, generation = np.concatenate(fed), 0
    while len(parents):
        generation += 1
        points, counts = _halve(rng, points, counts)
        parents = np.repeat(parents, 2)
        level: Level = "segmental" if generation <= _SEGMENTAL_GENERATIONS else "subsegmental"
        children = _add_branches(tree, parents, points, counts, level, unit)
        going_on = counts > 1
        points = points[np.repeat(going_on, counts)]
        parents, counts = children[going_on], counts[going_on]


def _halve(rng: np.random.Generator, points: Points, counts: Indices) -> tuple[Points, Indices]:
    """Cut each cloud of points (they follow one another in `points`) near the middle of its longest axis."""
    starts = np.cumsum(counts) - counts
    spread = np.maximum.reduceat(points, starts) - np.minimum.reduceat(points, starts)
    axis = np.argmax(spread * rng.uniform(0.7, 1.3, spread.shape), axis=1)
    group = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((points[np.arange(len(points)), axis[group]], group))
    first = np.clip(np.rint(counts * rng.uniform(0.32, 0.68, len(counts))).astype(int), 1, counts - 1)
    return points[order], np.stack([first, counts - first], axis=1).ravel()


def _add_branches(tree: Tree, parents: Indices, points: Points, counts: Indices, level: Level, unit: float) -> Indices:
    """Add a branch from each parent's end towards the middle of its points, and return their indices."""
    origins = [tree.branches[parent] for parent in parents.tolist()]
    before, start = np.stack([origin.points[-2:] for origin in origins], axis=1)
    heading = start - before
    heading /= np.linalg.norm(heading, axis=1, keepdims=True) + 1e-9
    middle = np.add.reduceat(points, np.cumsum(counts) - counts) / counts[:, None]
    way = (middle - start) * np.where(counts == 1, 1.0, _REACH)[:, None]
    bend = start + way / 2 + heading * (0.15 * np.linalg.norm(way, axis=1, keepdims=True))
    large = counts > _LARGE_POINTS
    courses = list(_curves(start, bend, start + way, 2))
    finer = _curves(start[large], bend[large], (start + way)[large], 4)
    for place, course in zip(np.flatnonzero(large).tolist(), finer, strict=True):
        courses[place] = course
    radii = (unit * counts ** (1 / 3)).tolist()
    ways = zip(courses, radii, origins, parents.tolist(), strict=True)
    return tree.extend([Branch(course, radius, level, origin.side, parent) for course, radius, origin, parent in ways])


def _curves(start: Points, bend: Points, end: Points, pieces: int) -> Points:
    """Return (n, pieces + 1, 3) points of quadratic Bézier curves."""
    t = np.linspace(0.0, 1.0, pieces + 1)[None, :, None]
    curves: Points = (1 - t) ** 2 * start[:, None] + 2 * t * (1 - t) * bend[:, None] + t**2 * end[:, None]
    return curves
