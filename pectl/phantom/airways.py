"""The airways: trachea, main bronchi, and the bronchi that run beside the arteries."""

from dataclasses import dataclass

import numpy as np

from pectl.phantom.courses import LEFT_BRONCHUS, RIGHT_BRONCHUS, TRACHEA
from pectl.phantom.grid import Points
from pectl.phantom.heart import Heart
from pectl.phantom.vessels import Branch, Tree, keep_off_heart

BRONCHUS_TO_ARTERY = 0.75
"""Inner radius of a bronchus over that of its artery."""
WALL_MM = 1.2
_SMALLEST_ARTERY_MM = 1.7
_TRACHEA_RADIUS_MM, _RIGHT_RADIUS_MM, _LEFT_RADIUS_MM = 8.5, 6.5, 6.0


@dataclass(frozen=True)
class Airways:
    """Straight pieces of airway."""

    starts: Points
    ends: Points
    """(n, 3) body-frame mm."""
    radii_mm: Points
    """(n,) inner radius."""
    mucus: np.ndarray
    """(n,) bool: filled with mucus."""


def lay_airways(rng: np.random.Generator, arteries: Tree, heart: Heart, *, plugs: int) -> Airways:
    """Lay bronchi beside the arteries; `plugs` of them, and what branches off them, are filled with mucus."""
    indices = [
        index
        for index, branch in enumerate(arteries.branches)
        if branch.level not in ("trunk", "main") and branch.radius_mm >= _SMALLEST_ARTERY_MM
    ]
    courses = keep_off_heart([_beside(arteries.branches[index]) for index in indices], heart)
    candidates = [index for index in indices if arteries.branches[index].level != "lobar"]
    plugged = _with_descendants(arteries, rng.permutation(candidates)[:plugs].tolist())
    lines = [(np.asarray(course, dtype=float), radius, False) for course, radius in _NAMED]
    lines += [
        (points, BRONCHUS_TO_ARTERY * arteries.branches[index].radius_mm, index in plugged)
        for index, points in zip(indices, courses, strict=True)
    ]
    counts = [len(points) - 1 for points, _, _ in lines]
    return Airways(
        starts=np.concatenate([points[:-1] for points, _, _ in lines]),
        ends=np.concatenate([points[1:] for points, _, _ in lines]),
        radii_mm=np.repeat([radius for _, radius, _ in lines], counts),
        mucus=np.repeat([filled for _, _, filled in lines], counts),
    )


_NAMED = (
    (TRACHEA, _TRACHEA_RADIUS_MM),
    (RIGHT_BRONCHUS, _RIGHT_RADIUS_MM),
    (LEFT_BRONCHUS, _LEFT_RADIUS_MM),
)


def _beside(artery: Branch) -> Points:
    """Shift an artery's course towards the middle and the back, by both radii and the wall."""
    along = artery.points[-1] - artery.points[0]
    along = along / (np.linalg.norm(along) + 1e-9)
    wish = np.array([0.6 if artery.side == "right" else -0.6, 0.8, 0.1])
    across = wish - (wish @ along) * along
    distance = (1.0 + BRONCHUS_TO_ARTERY) * artery.radius_mm + WALL_MM
    shifted: Points = artery.points + across / (np.linalg.norm(across) + 1e-9) * distance
    return shifted


def _with_descendants(tree: Tree, indices: list[int]) -> set[int]:
    found, waiting = set[int](), list(indices)
    while waiting:
        index = waiting.pop()
        found.add(index)
        waiting += tree.children(index)
    return found
