"""Where slices lie, and which of them share a geometry: headers differ by rounding, so equality has tolerances."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pectl.core.dicom.headers import SliceHeader

SAME_POSITION_MM = 0.05
"""Slices closer than this lie at one position; the thinnest CT slices are 0.3 mm apart."""
STEP_TOLERANCE = 0.05
"""Share of a step by which steps and thicknesses may differ and count as equal."""
_SAME_COSINE = 0.01  # half a degree; scanners write six digits or fewer
_SAME_SPACING = 0.001  # a share: half a pixel across a slice
_MOST_GEOMETRIES = 64

Vector = NDArray[np.float64]
_Geometry = tuple[tuple[float, ...], int, int, tuple[float, ...]]


def normal_of(orientation: tuple[float, ...] | None) -> Vector:
    """Return the normal of an image plane in LPS, not normalised; upwards for an axial one that isn't mirrored."""
    row, column = np.reshape(orientation or (1, 0, 0, 0, 1, 0), (2, 3))
    normal: Vector = np.cross(row, column)
    return normal


def along_normal(headers: Sequence[SliceHeader]) -> Vector:
    """Return where slices lie along the normal of the first, in mm (N,)."""
    positions: Vector = np.array([header.position or (0, 0, 0) for header in headers], np.float64)
    return positions @ normal_of(headers[0].orientation)


def distinct(position_mm: Vector) -> Vector:
    """Return positions in ascending order, those that are the same once."""
    ordered = np.sort(position_mm)
    found: Vector = ordered[np.diff(ordered, prepend=-np.inf) >= SAME_POSITION_MM]
    return found


def median_step(position_mm: Vector) -> float:
    """Return the median step of ascending positions; 0 for a single one."""
    return float(np.median(np.diff(position_mm))) if len(position_mm) > 1 else 0.0


def lean_deg(header: SliceHeader) -> float:
    """Return the angle between the image plane and the axial plane, 0 to 90 degrees; 90 for unusable axes."""
    return _lean_deg(header.orientation or (0.0,) * 6)


@lru_cache(maxsize=1024)
def _lean_deg(orientation: tuple[float, ...]) -> float:
    normal = normal_of(orientation)
    length = float(np.linalg.norm(normal))
    if not 0.9 < length < 1.1:
        return 90.0
    return float(np.degrees(np.arccos(min(1.0, abs(normal[2]) / length))))


def same_geometry(first: SliceHeader, second: SliceHeader) -> bool:
    """Tell whether two slices agree in orientation, matrix and pixel spacing but for rounding."""
    return _same(_geometry(first), _geometry(second))


def count_geometries(headers: Sequence[SliceHeader]) -> list[tuple[SliceHeader, int]]:
    """Return a slice of each geometry and how many slices have it, the most common one first."""
    totals: dict[_Geometry, int] = {}
    for geometry, count in Counter(map(_geometry, headers)).most_common():
        known = next((one for one in totals if _same(one, geometry)), geometry)
        if known in totals or len(totals) < _MOST_GEOMETRIES:
            totals[known] = totals.get(known, 0) + count
    examples = {_geometry(header): header for header in headers}
    return [(examples[one], totals[one]) for one in sorted(totals, key=lambda one: -totals[one])]


def _geometry(header: SliceHeader) -> _Geometry:
    return header.orientation or (), header.rows, header.columns, header.pixel_spacing_mm or ()


def _same(first: _Geometry, second: _Geometry) -> bool:
    if first == second:
        return True
    (axes, *matrix, spacing), (other_axes, *other_matrix, other_spacing) = first, second
    if matrix != other_matrix or (len(axes), len(spacing)) != (len(other_axes), len(other_spacing)):
        return False
    turned = max((abs(one - other) for one, other in zip(axes, other_axes, strict=True)), default=0.0)
    scaled = max(
        (abs(one - other) / abs(one or 1.0) for one, other in zip(spacing, other_spacing, strict=True)), default=0.0
    )
    return turned <= _SAME_COSINE and scaled <= _SAME_SPACING
