"""Score heat against labels: does it lie in slices with PE, and on the labelled side?

A study without heat is a miss: 0, or an AUROC of 0.5. Both baselines are scored in the same way, the brightest
vessel as if its brightness were heat.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pectl.core.labels.names import LEFT, RIGHT, UNKNOWN
from pectl.core.statistics.ranking import auroc
from pectl.core.stores.study_store import Study
from pectl.explanation.baselines import Measured, lung_positions, vessel_brightness
from pectl.explanation.explainer import Explanation
from pectl.explanation.heat_geometry import left_share, leftness

_EVEN = 0.5
"""Slice AUROC of a heat that is the same everywhere in the lungs."""

Measures = dict[str, Measured]


def score_labels(study: Study, explanation: Explanation) -> Measures:
    """Score one study against its labels; what isn't defined is left out.

    Returns:
        `peak_in_pe_slice`: whether the peak lies in a slice with PE.
        `slice_auroc`: of slice heat against `pe_present_on_image`, over the original slices.
        `side_agreement`: whether most heat lies on the labelled side, if one side alone is labelled.
    """
    vessel, lungs = vessel_brightness(study), lung_positions(study)
    found = {
        "peak_in_pe_slice": _peak(study, explanation, vessel, lungs),
        "slice_auroc": Measured(
            _slice_auroc(study, explanation.slice_heat), _EVEN, _slice_auroc(study, vessel.max(axis=(1, 2)))
        ),
        "side_agreement": _side(study, explanation, vessel, lungs),
    }
    return {name: measured for name, measured in found.items() if not np.isnan(measured.heat)}


def _peak(study: Study, explanation: Explanation, vessel: NDArray[np.float32], lungs: NDArray[np.intp]) -> Measured:
    if (study.slice_label == UNKNOWN).all():
        return Measured(np.nan, np.nan, np.nan)
    with_pe, peak = study.slice_label == 1, explanation.peak
    return Measured(
        float(peak is not None and peak.slice_label == 1),
        float(with_pe[lungs[:, 0]].mean()),
        float(with_pe[vessel.max(axis=(1, 2)).argmax()]),
    )


def _slice_auroc(study: Study, slice_score: NDArray[np.float32]) -> float:
    known = (study.source.grid_index >= 0) & (study.source.label != UNKNOWN)
    score = slice_score[study.source.grid_index[known]].astype(np.float64)
    return float(auroc(study.source.label[known] == 1, score))


def _side(study: Study, explanation: Explanation, vessel: NDArray[np.float32], lungs: NDArray[np.intp]) -> Measured:
    wants_left = _labelled_side(study.exam_labels)
    if wants_left is None:
        return Measured(np.nan, np.nan, np.nan)
    lungs_left = float(leftness(study, lungs.astype(np.float64)).mean())
    return Measured(
        _agrees(explanation.left_share, wants_left=wants_left),
        lungs_left if wants_left else 1 - lungs_left,
        _agrees(left_share(study, vessel), wants_left=wants_left),
    )


def _labelled_side(labels: Mapping[str, int | None]) -> bool | None:
    """Return whether the left side alone is labelled; None unless one side alone is."""
    left, right = labels[LEFT], labels[RIGHT]
    return None if left is None or right is None or left + right != 1 else bool(left)


def _agrees(share: float | None, *, wants_left: bool) -> float:
    return float(share is not None and (share > 0.5) == wants_left)
