"""The airways: trachea, main bronchi, and the bronchi that run beside the arteries."""

from dataclasses import dataclass

import numpy as np

from pectl.phantom.body.heart import Heart
from pectl.phantom.body.vessels import Branch, Tree, keep_off_heart
from pectl.phantom.courses import LEFT_BRONCHUS, RIGHT_BRONCHUS, TRACHEA
from pectl.phantom.grid import Points

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
    courses = keep_off_heart(_beside([arteries.branches[index] for index in indices]), heart)
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


def _beside(arteries: list[Branch]) -> list[Points]:
    """Shift the arteries' courses towards the middle and the back, by both radii and the wall."""
    along = np.array([artery.points[-1] - artery.points[0] for artery in arteries])
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    wish = np.array([(0.6 if artery.side == "right" else -0.6, 0.8, 0.1) for artery in arteries])
    across = wish - (wish * along).sum(axis=1, keepdims=True) * along
    distances = (1.0 + BRONCHUS_TO_ARTERY) * np.array([[artery.radius_mm] for artery in arteries]) + WALL_MM
    shifts = across / (np.linalg.norm(across, axis=1, keepdims=True) + 1e-9) * distances
    return [artery.points + shift for artery, shift in zip(arteries, shifts, strict=True)]


def _with_descendants(tree: Tree, indices: list[int]) -> set[int]:
    found, waiting = set[int](), list(indices)
    while waiting:
        index = waiting.pop()
        found.add(index)
        waiting += tree.children(index)
    return found
