"""Paths along arteries."""

import numpy as np

from pectl.phantom.grid import Points

_STEP_MM = 3.0

Path = tuple[Points, list[int]]
"""(n, 3) body-frame mm and, for each point, the index of the artery it lies in."""


def dense(points: Points) -> Points:
    """Put points every few mm along a polyline."""
    at = along(points)
    even = np.linspace(0.0, at[-1], max(2, int(at[-1] / _STEP_MM) + 1))
    stops = np.union1d(even, at)  # with its corners, lest a path cuts them and leaves the artery
    return np.stack([np.interp(stops, at, column) for column in points.T], axis=1)


def along(points: Points) -> Points:
    """Return the length of a polyline up to each of its points, (n,)."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def cut(points: Points, owners: list[int], length_mm: float) -> Path:
    """End a path at this length, or where it ends itself."""
    keep = max(2, int(np.searchsorted(along(points), length_mm, side="right")))
    return points[:keep], owners[:keep]


def across(rng: np.random.Generator, direction: Points) -> Points:
    """Draw a unit vector across a direction, (3,)."""
    way = np.cross(direction, rng.standard_normal(3))
    unit: Points = way / (np.linalg.norm(way) + 1e-9)
    return unit
