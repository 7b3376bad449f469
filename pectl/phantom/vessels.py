"""Branching trees: arteries, veins and airways that fill the lungs, radii by Murray's law.

A tree is grown over attraction points drawn in its lobe: each branch heads for the middle of its points, which are
then cut in two for its children. A branch carries a flow in proportion to its points, and its radius is the root's
times the cube root of its share of the flow, so r0^3 = r1^3 + r2^3 at every branching (Murray 1926).
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pectl.phantom.anatomy import BOTTOM_MM, TOP_MM, Anatomy
from pectl.phantom.grid import Points

Side = Literal["right", "left", "middle"]
Level = Literal["trunk", "main", "lobar", "segmental", "subsegmental"]

LOBES = ("RU", "RM", "RL", "LU", "LL")


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A stretch of vessel between two branchings, of one radius."""

    points: Points
    """(n, 3) body-frame mm from its start to its end."""
    radius_mm: float
    level: Level
    side: Side
    parent: int
    """Index of the branch it comes from, -1 for the root."""


@dataclass
class Tree:
    """Branches, parents before children."""

    branches: list[Branch] = field(default_factory=list)

    def children(self, index: int) -> list[int]:
        """Return the indices of the branches that start where branch `index` ends."""
        return self._children.get(index, [])

    def add(self, branch: Branch) -> int:
        """Append a branch and return its index."""
        self.branches.append(branch)
        self._children.setdefault(branch.parent, []).append(len(self.branches) - 1)
        return len(self.branches) - 1

    _children: dict[int, list[int]] = field(default_factory=dict)

    def tubes(self) -> tuple[Points, Points, Points]:
        """Return starts (n, 3), ends (n, 3) and radii (n,) of all straight pieces."""
        starts = np.concatenate([branch.points[:-1] for branch in self.branches])
        ends = np.concatenate([branch.points[1:] for branch in self.branches])
        counts = [len(branch.points) - 1 for branch in self.branches]
        return starts, ends, np.repeat([branch.radius_mm for branch in self.branches], counts)


@dataclass(frozen=True)
class _Stem:
    """A named vessel with a fixed course: what it feeds, and the stem it comes from."""

    points: tuple[tuple[float, float, float], ...]
    lobes: tuple[str, ...]
    level: Level
    side: Side
    parent: str | None


ARTERY_STEMS: dict[str, _Stem] = {
    "trunk": _Stem(
        ((13.0, -54.0, -62.0), (16.0, -50.0, -48.0), (19.0, -40.0, -34.0), (17.0, -24.0, -24.0)),
        LOBES, "trunk", "middle", None,
    ),
    "right main": _Stem(
        ((17.0, -24.0, -24.0), (4.0, -8.0, -21.0), (-14.0, 1.0, -21.0), (-34.0, 3.0, -23.0)),
        ("RU", "RM", "RL"), "main", "right", "trunk",
    ),
    "left main": _Stem(
        ((17.0, -24.0, -24.0), (27.0, -10.0, -17.0), (38.0, 6.0, -11.0), (45.0, 18.0, -14.0)),
        ("LU", "LL"), "main", "left", "trunk",
    ),
    "right upper": _Stem(
        ((-34.0, 3.0, -23.0), (-43.0, -4.0, -12.0), (-50.0, -6.0, 0.0)), ("RU",), "lobar", "right", "right main"
    ),
    "right interlobar": _Stem(
        ((-34.0, 3.0, -23.0), (-46.0, 8.0, -36.0), (-50.0, 14.0, -52.0)),
        ("RM", "RL"), "lobar", "right", "right main",
    ),
    "right middle": _Stem(
        ((-50.0, 14.0, -52.0), (-57.0, 2.0, -56.0), (-63.0, -10.0, -62.0)), ("RM",), "lobar", "right", "right interlobar"
    ),
    "right lower": _Stem(
        ((-50.0, 14.0, -52.0), (-54.0, 22.0, -62.0), (-56.0, 28.0, -72.0)), ("RL",), "lobar", "right", "right interlobar"
    ),
    "left upper": _Stem(
        ((45.0, 18.0, -14.0), (54.0, 8.0, -8.0), (58.0, -2.0, -2.0)), ("LU",), "lobar", "left", "left main"
    ),
    "left lower": _Stem(
        ((45.0, 18.0, -14.0), (50.0, 27.0, -32.0), (53.0, 32.0, -50.0), (56.0, 34.0, -66.0)),
        ("LL",), "lobar", "left", "left main",
    ),
}  # fmt: skip

VEIN_STEMS: dict[str, _Stem] = {
    "right superior": _Stem(
        ((-16.0, 6.0, -50.0), (-32.0, -6.0, -44.0), (-48.0, -16.0, -34.0)),
        ("RU", "RM"),
        "lobar",
        "right",
        None,
    ),
    "right inferior": _Stem(
        ((-16.0, 16.0, -68.0), (-36.0, 24.0, -72.0), (-52.0, 34.0, -78.0)), ("RL",), "lobar", "right", None
    ),
    "left superior": _Stem(
        ((26.0, 6.0, -46.0), (40.0, -6.0, -40.0), (54.0, -14.0, -28.0)), ("LU",), "lobar", "left", None
    ),
    "left inferior": _Stem(
        ((28.0, 16.0, -66.0), (42.0, 28.0, -70.0), (56.0, 38.0, -76.0)), ("LL",), "lobar", "left", None
    ),
}


def lobe_points(rng: np.random.Generator, anatomy: Anatomy, count: int) -> dict[str, Points]:
    """Draw `count` points spread evenly through both lungs and sort them by lobe."""
    found: list[Points] = []
    while sum(map(len, found)) < count:
        box = rng.uniform((-140.0, -95.0, BOTTOM_MM - 20.0), (140.0, 95.0, TOP_MM), size=(4 * count, 3))
        x, y, z = box.T.astype(np.float32)
        found.append(box[anatomy.lung_distance(x, y, z) < -4.0])
    points = np.concatenate(found)[:count]
    x, y, z = points.T
    below_major = z < 30.0 - (60.0 - y) * 1.1  # oblique fissure: high at the back, low at the front
    right_lower = np.where(z < -30.0, "RM", "RU")  # horizontal fissure
    lobe = np.where(x < 0, np.where(below_major, "RL", right_lower), np.where(below_major, "LL", "LU"))
    return {name: points[lobe == name] for name in LOBES}


def grow_tree(
    rng: np.random.Generator,
    stems: dict[str, _Stem],
    targets: dict[str, Points],
    *,
    root_radius_mm: float,
    shift: Points,
) -> Tree:
    """Grow a tree from its stems to the targets of each lobe; `root_radius_mm` carries the flow of all targets."""
    tree, index = Tree(), {}
    unit = root_radius_mm / sum(map(len, targets.values())) ** (1 / 3)
    for name, stem in stems.items():
        flow = sum(len(targets[lobe]) for lobe in stem.lobes)
        parent = -1 if stem.parent is None else index[stem.parent]
        index[name] = tree.add(
            Branch(
                points=np.asarray(stem.points) + shift, radius_mm=unit * flow ** (1 / 3),
                level=stem.level, side=stem.side, parent=parent,
            )
        )  # fmt: skip
    ends = {name for name, stem in stems.items() if not any(other.parent == name for other in stems.values())}
    for name in stems:
        if name in ends:
            points = np.concatenate([targets[lobe] for lobe in stems[name].lobes])
            _grow(rng, tree, index[name], points, unit)
    return tree


def _grow(rng: np.random.Generator, tree: Tree, root: int, targets: Points, unit: float) -> None:
    """Split targets in two, send a branch to each half, and go on from its end, until single targets are left."""
    waiting = [(root, targets, 1)]
    while waiting:
        parent, points, generation = waiting.pop()
        for part in _halves(rng, points):
            if len(part):
                child = tree.add(_child(tree.branches[parent], parent, part, generation, unit))
                if len(part) > 1:
                    waiting.append((child, part, generation + 1))


def _halves(rng: np.random.Generator, points: Points) -> tuple[Points, Points]:
    """Cut a cloud of points at a random place near the middle of its longest axis."""
    spread = points.max(axis=0) - points.min(axis=0)
    order = np.argsort(points[:, int(np.argmax(spread * rng.uniform(0.7, 1.3, 3)))])
    cut = max(1, round(len(points) * rng.uniform(0.32, 0.68)))
    return points[order[:cut]], points[order[cut:]]


def _child(origin: Branch, parent: int, points: Points, generation: int, unit: float) -> Branch:
    start = origin.points[-1]
    middle = points.mean(axis=0)
    reach = 1.0 if len(points) == 1 else 0.42
    end = start + (middle - start) * reach
    heading = origin.points[-1] - origin.points[-2]
    heading = heading / (np.linalg.norm(heading) + 1e-9)
    bend = (start + end) / 2 + heading * (0.15 * np.linalg.norm(end - start))
    t = np.linspace(0.0, 1.0, 5 if len(points) > 12 else 3)[:, None]
    return Branch(
        points=(1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end,
        radius_mm=unit * len(points) ** (1 / 3),
        level="segmental" if generation <= 2 else "subsegmental",  # a lobe's first two divisions
        side=origin.side,
        parent=parent,
    )
