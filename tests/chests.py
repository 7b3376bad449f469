"""HU of a drawn chest at LPS points (..., 3) in mm: the one formula of every test series."""

import numpy as np

NODULE_LPS_MM = (70.0, -30.0, 60.0)
"""A nodule in the left lung, in front of its middle, near the top: it tells left, front and up apart."""


def body_hu(points: np.ndarray) -> np.ndarray:
    """Return an oval body of soft tissue in air."""
    x, y, _ = np.moveaxis(points, -1, 0)
    return np.where((x / 170) ** 2 + (y / 110) ** 2 < 1, 40.0, -1000.0)


def body_with_lungs_hu(points: np.ndarray) -> np.ndarray:
    """Return the body with two lungs, 200 mm high."""
    return _with_lungs(body_hu(points), points)


def chest_hu(points: np.ndarray) -> np.ndarray:
    """Return a body with a heart with contrast, two lungs, a spine, and a nodule at `NODULE_LPS_MM`."""
    x, y, z = np.moveaxis(points, -1, 0)
    hu = body_hu(points)
    hu[(x / 30) ** 2 + ((y + 30) / 40) ** 2 + ((z + 10) / 70) ** 2 < 1] = 300.0
    hu = _with_lungs(hu, points)
    hu[(x / 20) ** 2 + ((y - 75) / 20) ** 2 < 1] = 400.0
    hu[np.linalg.norm(points - np.array(NODULE_LPS_MM), axis=-1) < 12] = 100.0
    return hu


def _with_lungs(hu: np.ndarray, points: np.ndarray) -> np.ndarray:
    x, y, z = np.moveaxis(points, -1, 0)
    for side in (-1, 1):
        hu[((x - 75 * side) / 55) ** 2 + (y / 75) ** 2 + (z / 100) ** 2 < 1] = -850.0
    return hu
