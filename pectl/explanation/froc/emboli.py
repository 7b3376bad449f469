"""The emboli of a study, one by one: size, place, and how far marks lie from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.spatial import cKDTree

from pectl.core.stores.phantom_truth import PhantomTruth
from pectl.explanation.heat_geometry import lps_to_grid
from pectl.phantom.truth import read_geometry

CENTRAL, PERIPHERAL, NOT_KNOWN = "central", "peripheral", "not known"


@dataclass(frozen=True, kw_only=True)
class Emboli:
    """The n emboli of one study; parts of the mask that touch are one.

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


def emboli_of(truth: PhantomTruth, central: Sequence[tuple[tuple[float, ...], bool]] = ()) -> Emboli:
    """Return the connected parts of the mask (26 neighbours).

    Args:
        truth: with the mask.
        central: of the emboli that are known one by one, a point in LPS mm and whether it is central.
    """
    parts, count = label(truth.embolus, np.ones((3, 3, 3)))
    voxel = np.argwhere(parts)
    owner = np.asarray(parts[tuple(voxel.T)] - 1, np.intp)
    found = Emboli(
        volume_mm3=np.asarray(np.bincount(owner, minlength=count) * np.prod(truth.spacing_mm), np.float64),
        place=(NOT_KNOWN,) * count,
        voxel=voxel,
        owner=owner,
        affine=truth.affine,
        spacing_mm=np.asarray(truth.spacing_mm, np.float64),
    )
    return _with_places(found, central)


def _with_places(emboli: Emboli, central: Sequence[tuple[tuple[float, ...], bool]]) -> Emboli:
    """Give each part the place of those that lie nearest to it; one central makes it central."""
    place = list(emboli.place)
    _, nearest = emboli.nearest([(x, y, z) for (x, y, z), _ in central])
    for owner, (_, is_central) in zip(nearest.tolist(), central, strict=True):
        if owner >= 0 and place[owner] != CENTRAL:
            place[owner] = CENTRAL if is_central else PERIPHERAL
    return replace(emboli, place=tuple(place))


def known_places(path: Path) -> list[tuple[tuple[float, ...], bool]]:
    """Return the middle of each embolus in LPS mm and whether it is central, where the truth of a study says so."""
    try:
        emboli = read_geometry(path)["emboli"]
    except KeyError:
        return []
    return [(tuple(one["centre_lps_mm"]), "central" in one["sides"]) for one in emboli]
