"""What looks like an embolus and isn't one: lymph nodes, unmixed contrast, mucus, other clots."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pectl.config import PhantomConfig
from pectl.phantom.body.vessels import Tree
from pectl.phantom.courses import SUPERIOR_CAVA
from pectl.phantom.grid import Points

NODE_HU = (40.0, 85.0)
CLOT_HU = (35.0, 80.0)
_NODE_RADIUS_MM = (3.0, 8.0)
_MOST = 5


@dataclass(frozen=True, kw_only=True)
class Node:
    """A lymph node that touches an artery."""

    centre: Points
    radius_mm: float
    hu: float


@dataclass(frozen=True, kw_only=True)
class Unmixed:
    """A cloud of blood with less contrast inside arteries; its edge is soft, unlike a clot's."""

    centre: Points
    radius_mm: float
    loss: float
    """Share of the contrast that is missing in its middle."""


@dataclass(frozen=True, kw_only=True)
class OtherClot:
    """A filling defect that isn't a pulmonary embolus: in the superior cava or in a pulmonary vein."""

    place: Literal["cava", "vein"]
    path: Points
    """(n, 3) body-frame mm."""
    radius_mm: float
    hu: float


@dataclass(frozen=True, kw_only=True)
class Confounders:
    """Those of one study."""

    nodes: tuple[Node, ...] = ()
    unmixed: tuple[Unmixed, ...] = ()
    clots: tuple[OtherClot, ...] = ()
    mucus_plugs: int = 0


def draw_confounders(rng: np.random.Generator, arteries: Tree, veins: Tree, config: PhantomConfig) -> Confounders:
    """Draw the confounders of one study; each kind is there with its probability."""

    def number(probability: float, most: int) -> int:
        count = int(rng.integers(1, most + 1))
        return count if rng.random() < probability else 0

    return Confounders(
        nodes=tuple(_node(rng, arteries) for _ in range(number(config.node_probability, _MOST))),
        unmixed=tuple(_unmixed(rng, arteries) for _ in range(number(config.flow_probability, 3))),
        clots=tuple(_clot(rng, veins) for _ in range(number(config.other_defect_probability, 1))),
        mucus_plugs=number(config.mucus_probability, _MOST),
    )


def _node(rng: np.random.Generator, arteries: Tree) -> Node:
    point, artery_radius = _place(rng, arteries, ("main", "lobar", "segmental"))
    radius = rng.uniform(*_NODE_RADIUS_MM)
    direction = rng.standard_normal(3)
    centre = point + direction / np.linalg.norm(direction) * (artery_radius + 0.8 * radius)
    return Node(centre=centre, radius_mm=radius, hu=rng.uniform(*NODE_HU))


def _unmixed(rng: np.random.Generator, arteries: Tree) -> Unmixed:
    point, _ = _place(rng, arteries, ("lobar", "segmental"))
    return Unmixed(centre=point, radius_mm=rng.uniform(8.0, 18.0), loss=rng.uniform(0.3, 0.6))


def _clot(rng: np.random.Generator, veins: Tree) -> OtherClot:
    if rng.random() < 0.5:
        path = np.linspace(SUPERIOR_CAVA[1], SUPERIOR_CAVA[2], 5)[: int(rng.integers(3, 6))]
        return OtherClot(place="cava", path=path, radius_mm=rng.uniform(3.5, 5.5), hu=rng.uniform(*CLOT_HU))
    lobar = [branch for branch in veins.branches if branch.level == "lobar"]
    vein = lobar[int(rng.integers(len(lobar)))]
    return OtherClot(place="vein", path=vein.points, radius_mm=0.7 * vein.radius_mm, hu=rng.uniform(*CLOT_HU))


def _place(rng: np.random.Generator, tree: Tree, levels: tuple[str, ...]) -> tuple[Points, float]:
    """Return a point on the centre line of a random branch of these levels, and the branch's radius."""
    branches = [branch for branch in tree.branches if branch.level in levels]
    branch = branches[int(rng.integers(len(branches)))]
    return branch.points[int(rng.integers(len(branch.points)))], branch.radius_mm
