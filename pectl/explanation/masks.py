"""Score heat against masks: does it point at a clot, or at the heart, and does it lie in arteries, or in ventricles?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from pectl.core.labels.names import CHRONIC, RV_LV
from pectl.core.places.truth import BoolArray, PlacesTruth
from pectl.core.stores.study_store import Study
from pectl.explanation.baselines import Measured, lung_mask, vessel_brightness
from pectl.explanation.explainer import Explanation
from pectl.explanation.heat_geometry import grid_to_lps, lps_to_grid
from pectl.explanation.score import Measures

TOLERANCE_MM = 5.0
"""The pointing game counts a peak so near to an embolus as a hit (Zhang et al. 2018, in mm)."""
HEART_MM = 10.0
"""So near to a ventricle a peak is on its wall or septum, from which RV/LV is read: the left one's is about 10 mm."""


@dataclass(frozen=True)
class _Pointed:
    """A study's heat, and the brightness of its vessels as if it were heat, beside the truth."""

    study: Study
    explanation: Explanation
    truth: PlacesTruth
    vessel: NDArray[np.float32]

    def near(self, mask: BoolArray, within_mm: float, place: BoolArray) -> Measured:
        """Return whether the peak lies so near to a mask, beside a random position in `place`."""
        near = distance_transform_edt(~mask, sampling=self.truth.spacing_mm) <= within_mm
        brightest = np.array(np.unravel_index(int(self.vessel.argmax()), self.vessel.shape), np.float64)
        peak = self.explanation.peak
        return Measured(
            float(peak is not None and _inside(self.truth, near, np.array(peak.point_mm))),
            float(near[place].mean()),
            float(_inside(self.truth, near, grid_to_lps(self.study.affine, brightest))),
        )

    def share(self, mask: BoolArray, place: BoolArray) -> Measured:
        """Return the share of the heat inside a mask, beside that of heat spread evenly in `place`."""
        on_grid = _looked_up(mask, self.truth.affine, self.study.affine, self.study.hu.shape)
        return Measured(_share(self.explanation.heat, on_grid), float(mask[place].mean()), _share(self.vessel, on_grid))


def score_truth(study: Study, explanation: Explanation, truth: PlacesTruth) -> Measures:
    """Score one study against its masks; one without emboli has no measures.

    The random position lies in the lungs, in an artery or in an embolus; its share of heat is that of heat spread
    evenly there. Where no lungs are marked, they are those that the study's HU show. For the ventricles it lies in
    them or in the lungs beside them, in slices that hold a ventricle: else it would be easy to beat.

    Returns:
        `pointing_game`: whether the peak lies within TOLERANCE_MM of an embolus.
        `pointing_chronic`: of heat of chronic PE, whether it lies so near to a chronic one; left out without any.
        `heat_in_arteries`: share of the heat inside (emboli are in arteries); left out where no arteries are marked.
        `heat_in_emboli`: share of the heat inside.
        `peak_near_ventricle`, `heat_in_ventricles`: of heat of RV/LV, whether the peak lies within HEART_MM of a
            ventricle, and the share of the heat inside; left out where none are marked.
    """
    if not truth.embolus.any():
        return {}
    pointed, lungs = _Pointed(study, explanation, truth, vessel_brightness(study)), _lungs(study, truth)
    masks = {"heat_in_emboli": truth.embolus}
    if truth.artery is not None:
        masks = {"heat_in_arteries": truth.artery | truth.embolus} | masks
    place = lungs
    for mask in masks.values():
        place = place | mask
    found = {"pointing_game": pointed.near(truth.embolus, TOLERANCE_MM, place)}
    if explanation.label == CHRONIC and truth.chronic is not None and truth.chronic.any():
        found["pointing_chronic"] = pointed.near(truth.chronic, TOLERANCE_MM, place)
    found |= {name: pointed.share(mask, place) for name, mask in masks.items()}
    return found if explanation.label not in RV_LV else found | _heart(pointed, lungs)


def _heart(pointed: _Pointed, lungs: BoolArray) -> Measures:
    ventricle = pointed.truth.ventricle
    if ventricle is None or not ventricle.any():
        return {}
    place = (lungs | ventricle) & ventricle.any(axis=(1, 2), keepdims=True)
    return {
        "peak_near_ventricle": pointed.near(ventricle, HEART_MM, place),
        "heat_in_ventricles": pointed.share(ventricle, place),
    }


def _lungs(study: Study, truth: PlacesTruth) -> BoolArray:
    """Return the lungs on the grid of the truth."""
    if truth.lung is not None:
        return truth.lung
    return _looked_up(lung_mask(study), study.affine, truth.affine, truth.embolus.shape)


def _inside(truth: PlacesTruth, mask: BoolArray, point_mm: NDArray[np.float64]) -> bool:
    index = np.round(lps_to_grid(truth.affine, point_mm)).astype(int)
    inside = bool(((index >= 0) & (index < mask.shape)).all())
    return inside and bool(mask[tuple(index)])


def _looked_up(
    mask: BoolArray, affine: NDArray[np.float64], at: NDArray[np.float64], shape: tuple[int, ...]
) -> BoolArray:
    """Look a mask up at the centres of the voxels of another grid: that grid's shape, outside False.

    Args:
        mask: (D, H, W).
        affine: of its grid, (4, 4) from index to LPS mm.
        at: affine of the other grid.
        shape: of the other grid.
    """
    if mask.shape == shape and np.array_equal(affine, at):
        return mask
    depth, height, width = shape
    index = np.moveaxis(np.indices((1, height, width), np.float64)[:, 0], 0, -1)  # (H, W, 3)
    found = np.zeros(shape, bool)
    for d in range(depth):  # a slice at a time: coordinates take 24 bytes a voxel
        index[..., 0] = d
        place = np.moveaxis(lps_to_grid(affine, grid_to_lps(at, index)), -1, 0)
        found[d] = map_coordinates(mask.view(np.uint8), place, order=0, mode="constant")
    return found


def _share(heat: NDArray[np.float32], mask: BoolArray) -> float:
    total = float(heat.sum(dtype=np.float64))
    return float(heat[mask].sum(dtype=np.float64)) / total if total else 0.0
