"""Score heat against masks of emboli: does it point at a clot, and does it lie in arteries?"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from pectl.core.places.truth import BoolArray, PlacesTruth
from pectl.core.stores.study_store import Study
from pectl.explanation.baselines import Measured, lung_mask, vessel_brightness
from pectl.explanation.explainer import Explanation
from pectl.explanation.heat_geometry import grid_to_lps, lps_to_grid
from pectl.explanation.score import Measures

TOLERANCE_MM = 5.0
"""The pointing game counts a peak so near to an embolus as a hit (Zhang et al. 2018, in mm)."""


def score_truth(study: Study, explanation: Explanation, truth: PlacesTruth) -> Measures:
    """Score one study against its masks; one without emboli has no measures.

    The random position lies in the lungs, in an artery or in an embolus; its share of heat is that of heat spread
    evenly there. Where no lungs are marked, they are those that the study's HU show.

    Returns:
        `pointing_game`: whether the peak lies within TOLERANCE_MM of an embolus.
        `heat_in_arteries`: share of the heat inside (emboli are in arteries); left out where no arteries are marked.
        `heat_in_emboli`: share of the heat inside.
    """
    if not truth.embolus.any():
        return {}
    vessel = vessel_brightness(study)
    masks = {"heat_in_emboli": truth.embolus}
    if truth.artery is not None:
        masks = {"heat_in_arteries": truth.artery | truth.embolus} | masks
    place = _lungs(study, truth)
    for mask in masks.values():
        place = place | mask
    found = {"pointing_game": _pointing(study, explanation, truth, vessel, place)}
    for name, mask in masks.items():
        on_grid = _looked_up(mask, truth.affine, study.affine, study.hu.shape)
        even = float(mask[place].mean())
        found[name] = Measured(_share(explanation.heat, on_grid), even, _share(vessel, on_grid))
    return found


def _lungs(study: Study, truth: PlacesTruth) -> BoolArray:
    """Return the lungs on the grid of the truth."""
    if truth.lung is not None:
        return truth.lung
    return _looked_up(lung_mask(study), study.affine, truth.affine, truth.embolus.shape)


def _pointing(
    study: Study, explanation: Explanation, truth: PlacesTruth, vessel: NDArray[np.float32], place: BoolArray
) -> Measured:
    near = distance_transform_edt(~truth.embolus, sampling=truth.spacing_mm) <= TOLERANCE_MM
    brightest = np.array(np.unravel_index(int(vessel.argmax()), vessel.shape), np.float64)
    peak = explanation.peak
    return Measured(
        float(peak is not None and _inside(truth, near, np.array(peak.point_mm))),
        float(near[place].mean()),
        float(_inside(truth, near, grid_to_lps(study.affine, brightest))),
    )


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
