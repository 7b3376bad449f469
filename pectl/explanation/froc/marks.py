"""Marks: the places that heat points at, each with a confidence that compares between studies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from pectl.core.statistics.logistic import sigmoid
from pectl.core.stores.study_store import Study
from pectl.explanation.explainer import Explanation
from pectl.explanation.heat_geometry import grid_to_lps, nearest_source_slice

LEAST_SHARE = 0.05
"""A mark's heat is at least this share of the study's peak: below, heat is the rim of a hotter place."""
APART_MM = 10.0
"""Marks lie at least so far apart: twice the largest distance of a hit, so that no point is near to two."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A peak of the heat.

    Attributes:
        point_mm: (x, y, z) LPS.
        source_index: the nearest original slice, as place in `Study.source`.
        sop_instance_uid: of that slice.
        share: of the study's highest heat, in (0, 1].
        confidence: `share` times the probability of PE in the windows over the mark, in [0, 1].
    """

    point_mm: tuple[float, float, float]
    source_index: int
    sop_instance_uid: str
    share: float
    confidence: float


def find_marks(study: Study, explanation: Explanation) -> list[Mark]:
    """Return the local maxima of the heat, by falling confidence; none without heat.

    A voxel is one where none of its 26 neighbours is hotter, it has `LEAST_SHARE` of the study's peak, and no hotter
    mark lies within `APART_MM`. Heat of different studies compares only beside a reference, which a model need not
    have. So a mark's confidence is its share of the study's peak times the largest probability that
    stage 2 gives to a window over its slice: that compares between studies, and places in one study.
    """
    top = float(explanation.heat.max())
    if top <= 0:
        return []
    share = explanation.heat / top
    places = _apart(_maxima(share), share, np.asarray(study.spacing_mm, np.float64))
    probability = _slice_probability(explanation, len(share))
    marks = [_mark(study, place, float(share[tuple(place)]), float(probability[place[0]])) for place in places]
    return sorted(marks, key=lambda mark: -mark.confidence)


def _maxima(share: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the voxels (n, 3) that no neighbour exceeds, the hottest first."""
    places = np.argwhere((share >= LEAST_SHARE) & (share == maximum_filter(share, 3, mode="nearest")))
    return places[np.argsort(-share[tuple(places.T)], kind="stable")]


def _apart(
    places: NDArray[np.intp], share: NDArray[np.float32], spacing_mm: NDArray[np.float64]
) -> list[NDArray[np.intp]]:
    """Keep those that no hotter one lies near to."""
    kept: list[NDArray[np.intp]] = []
    for place in places:
        if all(np.linalg.norm((place - other) * spacing_mm) >= APART_MM for other in kept):
            kept.append(place)
    return kept


def _slice_probability(explanation: Explanation, depth: int) -> NDArray[np.float64]:
    """Return the largest probability of PE among the windows over each grid slice: (D,)."""
    largest = np.zeros(depth)
    probability = sigmoid(explanation.refined_logit.astype(np.float64))
    for start, value in zip(explanation.window_start, probability, strict=True):
        over = slice(int(start), int(start) + explanation.length)
        largest[over] = np.maximum(largest[over], value)
    return largest


def _mark(study: Study, place: NDArray[np.intp], share: float, probability: float) -> Mark:
    x, y, z = grid_to_lps(study.affine, place.astype(np.float64)).tolist()
    source = nearest_source_slice(study, int(place[0]))
    return Mark(
        point_mm=(x, y, z),
        source_index=source,
        sop_instance_uid=str(study.source.sop_instance_uid[source]),
        share=share,
        confidence=share * probability,
    )
