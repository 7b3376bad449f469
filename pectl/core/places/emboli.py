"""Emboli one by one: which voxels are one, and how large each is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects, label

Numbers = NDArray[np.uint16]
"""(n, rows, columns) or (D, H, W): the number of the embolus at each voxel, from 1; 0 beside."""
_TOUCHING = np.ones((3, 3, 3), bool)  # 26 neighbours
_MOST_EMBOLI = np.iinfo(np.uint16).max


@dataclass(frozen=True, kw_only=True)
class EmbolusSizes:
    """The sizes of the emboli 1...n.

    Attributes:
        volume_mm3: (n,), voxels times the volume of one.
        thickest_mm: (n,), twice the largest distance from the centre of a voxel to the nearest one outside.
        n_slices: (n,), of the original images.
    """

    volume_mm3: NDArray[np.float64]
    thickest_mm: NDArray[np.float64]
    n_slices: NDArray[np.int64]


def number_parts(mask: NDArray[np.bool_]) -> Numbers:
    """Number the parts of a mask, of which voxels that touch, if only at a corner, are one.

    Raises:
        ValueError: there are more parts than a mask of emboli can have.

    Example:
        >>> mask = np.zeros((2, 2, 3), bool)
        >>> mask[0, 0, 0] = mask[1, 1, 1] = True
        >>> number_parts(mask).max()  # the two touch at a corner
        np.uint16(1)
    """
    numbers = np.zeros(mask.shape, np.uint16)
    box = _around(mask)
    parts, count = label(mask[box], _TOUCHING)  # of the box alone: labels take 4 bytes a voxel
    if count > _MOST_EMBOLI:
        raise ValueError(f"{count} separate parts")
    numbers[box] = parts
    return numbers


def number_values(values: NDArray[Any]) -> Numbers:
    """Number the emboli by the values that a set gave them, in their order, from 1 without gaps.

    Raises:
        ValueError: they aren't whole numbers, or more than a mask of emboli can have.
    """
    marked = values > 0
    inside = values[marked]
    found = np.unique(inside)
    if found.size > _MOST_EMBOLI or (found != np.rint(found)).any():
        raise ValueError(f"{found.size} values that number no emboli")
    numbers = np.zeros(values.shape, np.uint16)
    numbers[marked] = np.searchsorted(found, inside) + 1
    return numbers


def measure_emboli(numbers: Numbers, spacing_mm: tuple[float, float, float]) -> EmbolusSizes:
    """Measure each embolus by itself; what lies outside the array is no embolus.

    Example:
        >>> block = np.zeros((4, 4, 4), np.uint16)
        >>> block[1:3, 1:3, 1:3] = 1
        >>> measure_emboli(block, (2.0, 1.0, 1.0))
        EmbolusSizes(volume_mm3=array([16.]), thickest_mm=array([2.]), n_slices=array([2]))
    """
    masks = [numbers[box] == place for place, box in enumerate(find_objects(numbers), 1)]
    return EmbolusSizes(
        volume_mm3=np.array([mask.sum() for mask in masks], np.float64) * np.prod(spacing_mm),
        thickest_mm=np.array([_thickest_mm(mask, spacing_mm) for mask in masks], np.float64),
        n_slices=np.array([mask.any(axis=(1, 2)).sum() for mask in masks], np.int64),
    )


def _thickest_mm(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> float:
    return 2 * float(distance_transform_edt(np.pad(mask, 1), sampling=spacing_mm).max())


def _around(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the smallest box that holds what is marked; an empty one where nothing is."""
    edges = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        places: NDArray[Any] = np.flatnonzero(mask.any(axis=others))
        edges.append(slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0))
    return tuple(edges)
