"""The emboli of a study, one by one: size, place, and how far marks lie from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pectl.core.places.truth import PlacesTruth
from pectl.explanation.heat_geometry import lps_to_grid
from pectl.phantom.truth import read_geometry

CENTRAL, PERIPHERAL, NOT_KNOWN = "central", "peripheral", "not known"
_WIDEST_MM = 15.0
"""A clot lies so near to the middle line of its artery: half of the widest pulmonary trunk."""


class KnownPlace(NamedTuple):
    """The middle of an embolus' course in LPS mm, and whether it lies in the trunk or a main artery."""

    point_mm: tuple[float, float, float]
    central: bool


@dataclass(frozen=True, kw_only=True)
class Emboli:
    """The n emboli of one study.

    Attributes:
        volume_mm3: (n,).
        place: of each: in the trunk or a main artery, beyond, or not known.
        voxel: (V, 3) index of each voxel of the mask.
        owner: (V,) the embolus that it belongs to, 0..n-1.
        affine: (4, 4) from index to LPS mm.
        spacing_mm: (3,).
    """

    volume_mm3: NDArray[np.float64]
    place: tuple[str, ...]
    voxel: NDArray[np.intp]
    owner: NDArray[np.intp]
    affine: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]

    def nearest(self, points_mm: Sequence[tuple[float, float, float]]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Return how far points lie from the nearest embolus, and which it is: (m,) each; infinite where none is.

        Distances are between the centres of the voxels of the mask: 0 inside of it.
        """
        if not len(self.voxel) or not points_mm:
            return np.full(len(points_mm), np.inf), np.full(len(points_mm), -1, np.intp)
        index = np.round(lps_to_grid(self.affine, np.array(points_mm, np.float64)))
        distance, voxel = cKDTree(self.voxel * self.spacing_mm).query(index * self.spacing_mm)
        return np.asarray(distance, np.float64), np.asarray(self.owner[voxel], np.intp)


def emboli_of(truth: PlacesTruth, known: Sequence[KnownPlace] = ()) -> Emboli:
    """Return the emboli as they are numbered, else the connected parts of the mask (26 neighbours).

    Args:
        truth: with the mask.
        known: the emboli that are known one by one.
    """
    numbers = truth.numbered()
    voxel = np.argwhere(numbers)
    there, owner = np.unique(numbers[tuple(voxel.T)], return_inverse=True)
    counted = np.bincount(owner, minlength=there.size) * np.prod(truth.spacing_mm)
    volume_mm3 = counted if truth.volume_mm3 is None else truth.volume_mm3[there.astype(np.intp) - 1]
    found = Emboli(
        volume_mm3=np.asarray(volume_mm3, np.float64),
        place=(NOT_KNOWN,) * there.size,
        voxel=voxel,
        owner=np.asarray(owner, np.intp),
        affine=truth.affine,
        spacing_mm=np.asarray(truth.spacing_mm, np.float64),
    )
    return _with_places(found, known)


def _with_places(emboli: Emboli, known: Sequence[KnownPlace]) -> Emboli:
    """Give each part the place of the known emboli that lie nearest to it; one central makes it central."""
    place = list(emboli.place)
    distance, nearest = emboli.nearest([one.point_mm for one in known])
    for away, owner, one in zip(distance.tolist(), nearest.tolist(), known, strict=True):
        if away <= _WIDEST_MM and place[owner] != CENTRAL:
            place[owner] = CENTRAL if one.central else PERIPHERAL
    return replace(emboli, place=tuple(place))


def known_places(path: Path) -> list[KnownPlace]:
    """Return the emboli that the truth of a study knows one by one; none where it doesn't, as that of a store."""
    if path.suffix != ".npz":
        return []
    try:
        emboli = read_geometry(path)["emboli"]
    except KeyError:
        return []
    return [KnownPlace(tuple(one["centre_lps_mm"]), "central" in one["sides"]) for one in emboli]
