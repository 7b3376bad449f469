"""Score heat against the masks of a phantom: does it point at a clot, and does it lie in arteries?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from pectl.analysis.explain import Explanation
from pectl.analysis.explain_score import CONFIDENCE, mean, rounded, vessel_brightness
from pectl.analysis.heat_geometry import grid_to_lps
from pectl.analysis.intervals import wilson
from pectl.core.data.study_store import Study
from pectl.errors import InputMissingError

TOLERANCE_MM = 5.0
"""The pointing game counts a peak so near to an embolus as a hit (Zhang et al. 2018, in mm)."""

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Masks of one phantom, (D, H, W) bool, and the affine from (d, h, w, 1) to LPS mm."""

    embolus: BoolArray
    artery: BoolArray
    lung: BoolArray
    affine: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TruthScore:
    """How the heat of a phantom with emboli lies to its truth.

    Attributes:
        hit: the peak is within TOLERANCE_MM of an embolus; a study without heat is a miss.
        random_hit: the same for a random position in the lungs and arteries: the share of them that would hit.
        brightest_hit: the same for the brightest vessel.
        heat_in_arteries: share of the heat inside arteries (emboli included); NaN without heat.
        heat_in_emboli: share of the heat inside emboli; NaN without heat.
        arteries_share: share of the grid's voxels in arteries, what heat spread evenly would get.
        emboli_share: the same for emboli.
    """

    uid: str
    hit: bool
    random_hit: float
    brightest_hit: bool
    heat_in_arteries: float
    heat_in_emboli: float
    arteries_share: float
    emboli_share: float


def read_truth(path: Path) -> Truth:
    """Read `truth/<StudyInstanceUID>.npz` of `pectl phantom`.

    Raises:
        InputMissingError: no such file, or it lacks a mask.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            return Truth(**{name: data[name] for name in Truth.__dataclass_fields__})
    except (OSError, KeyError, ValueError) as error:
        raise InputMissingError(
            where=path, expected="the truth of a phantom", found=str(error).splitlines()[0],
            fix="give the folder truth/ of pectl phantom",
        ) from error  # fmt: skip


def score_truth(study: Study, explanation: Explanation, truth: Truth) -> TruthScore:
    """Score the heat of one phantom that has emboli."""
    near = distance_transform_edt(~truth.embolus, sampling=truth.spacing_mm) <= TOLERANCE_MM
    vessel = vessel_brightness(study)
    brightest = np.array(np.unravel_index(int(vessel.argmax()), vessel.shape), np.float64)
    place = truth.lung | truth.artery
    artery, embolus = _on_grid(study, truth, truth.artery), _on_grid(study, truth, truth.embolus)
    peak = explanation.peak
    return TruthScore(
        uid=study.uid,
        hit=peak is not None and _inside(truth, near, np.array(peak.point_mm)),
        random_hit=float(near[place].mean()),
        brightest_hit=_inside(truth, near, grid_to_lps(study, brightest)),
        heat_in_arteries=_share(explanation.heat, artery | embolus),
        heat_in_emboli=_share(explanation.heat, embolus),
        arteries_share=float((artery | embolus).mean()),
        emboli_share=float(embolus.mean()),
    )


def summarise_truth(scores: Sequence[TruthScore]) -> dict[str, int | float | str | None]:
    """Summarise phantoms with emboli, for the summary of `explain_split`: the pointing game and its baselines."""
    n, hits = len(scores), sum(score.hit for score in scores)
    low, high = wilson(hits, n, CONFIDENCE)
    numbers = {
        "pointing_share": hits / n if n else np.nan,
        "pointing_ci_low": low,
        "pointing_ci_high": high,
        "pointing_random": mean([score.random_hit for score in scores]),
        "pointing_brightest_vessel": mean([float(score.brightest_hit) for score in scores]),
        "heat_in_arteries": mean([score.heat_in_arteries for score in scores]),
        "arteries_share_of_grid": mean([score.arteries_share for score in scores]),
        "heat_in_emboli": mean([score.heat_in_emboli for score in scores]),
        "emboli_share_of_grid": mean([score.emboli_share for score in scores]),
    }
    return {"pointing_n": n, "pointing_hits": hits, **{name: rounded(value) for name, value in numbers.items()}}


def _inside(truth: Truth, mask: BoolArray, point_mm: NDArray[np.float64]) -> bool:
    index = np.round(_to_index(truth, point_mm)).astype(int)
    inside = bool(((index >= 0) & (index < mask.shape)).all())
    return inside and bool(mask[tuple(index)])


def _on_grid(study: Study, truth: Truth, mask: BoolArray) -> BoolArray:
    """Look a mask up at the centres of the study's voxels: (D, S, S), outside False."""
    depth, height, width = study.hu.shape
    index = np.moveaxis(np.indices((1, height, width), np.float64)[:, 0], 0, -1)  # (S, S, 3)
    found = np.zeros(study.hu.shape, bool)
    for d in range(depth):  # a slice at a time: coordinates take 24 bytes a voxel
        index[..., 0] = d
        place = np.moveaxis(_to_index(truth, grid_to_lps(study, index)), -1, 0)
        found[d] = map_coordinates(mask.view(np.uint8), place, order=0, mode="constant")
    return found


def _to_index(truth: Truth, point_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    inverse = np.linalg.inv(truth.affine)
    return np.asarray(point_mm @ inverse[:3, :3].T + inverse[:3, 3], np.float64)


def _share(heat: NDArray[np.float32], mask: BoolArray) -> float:
    total = float(heat.sum(dtype=np.float64))
    return float(heat[mask].sum(dtype=np.float64)) / total if total else np.nan
