"""Free-response ROC: sensitivity per lesion against false marks per scan, with a bootstrap over patients.

Bunch et al. 1978; the average over seven rates as in LUNA16 (Setio et al. 2017) and the CAD-PE challenge.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pectl.core.statistics.bootstrap import IntArray, Weights
from pectl.core.statistics.ranking import BoolArray, FloatArray

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False marks per scan over which sensitivity is averaged."""
_BLOCK = 128


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Marks and lesions of n scans.

    Attributes:
        false_mark: (F,) confidence of each mark that hits no lesion.
        false_scan: (F,) its scan, 0..n-1.
        lesion: (L,) highest confidence of the marks that hit a lesion; -inf where none does.
        lesion_scan: (L,) its scan.
        patient: (n,) whose scan each is, 0..C-1.
    """

    false_mark: FloatArray
    false_scan: IntArray
    lesion: FloatArray
    lesion_scan: IntArray
    patient: IntArray

    def of_lesions(self, chosen: BoolArray) -> "Detections":
        """Return the same marks and scans with these lesions (L,) alone."""
        return replace(self, lesion=self.lesion[chosen], lesion_scan=self.lesion_scan[chosen])


@dataclass(frozen=True, kw_only=True)
class FrocCurve:
    """Each threshold (T,), falling, with the false marks per scan and the sensitivity from there on."""

    threshold: FloatArray
    false_per_scan: FloatArray
    sensitivity: FloatArray


def froc_curve(found: Detections) -> FrocCurve:
    """Return the curve; no threshold where there is no mark. Sensitivity without lesions is NaN."""
    level = _levels(found)
    false, hits = _counts(found, level, np.ones((int(found.patient.max()) + 1, 1)))
    n_lesions = found.lesion.size
    return FrocCurve(
        threshold=level,
        false_per_scan=false[:, 0] / found.patient.size,
        sensitivity=hits[:, 0] / n_lesions if n_lesions else np.full(level.size, np.nan),
    )


def sensitivity_at(found: Detections, rates: Sequence[float] = RATES) -> FloatArray:
    """Return the largest sensitivity with at most so many false marks per scan: (len(rates),); NaN without lesions.

    Where the marks end before a rate is reached, their last sensitivity holds from there on.

    Example:
        >>> found = Detections(
        ...     false_mark=np.array([0.8, 0.3]), false_scan=np.array([0, 1]), lesion=np.array([0.9, 0.5, -np.inf]),
        ...     lesion_scan=np.array([0, 0, 1]), patient=np.array([0, 1]))
        >>> sensitivity_at(found, [0.25, 0.5, 1.0]).round(2)  # false marks in two scans: none, one, two
        array([0.33, 0.67, 0.67])
    """
    weights = np.ones((int(found.patient.max()) + 1, 1), np.float32)
    return replicate_sensitivity(found, weights, rates)[:, 0]


def replicate_sensitivity(found: Detections, weights: Weights, rates: Sequence[float] = RATES) -> FloatArray:
    """Return `sensitivity_at` of every replicate: (len(rates), R); NaN where one drew no lesion.

    Args:
        found: marks and lesions.
        weights: (C, R), how often each patient was drawn.
        rates: false marks per scan.
    """
    level = _levels(found)
    blocks = [
        _block(found, level, weights[:, start : start + _BLOCK].astype(np.float64), rates)
        for start in range(0, weights.shape[1], _BLOCK)
    ]
    return np.concatenate(blocks, axis=1)


def _block(found: Detections, level: FloatArray, weights: FloatArray, rates: Sequence[float]) -> FloatArray:
    false, hits = _counts(found, level, weights)
    n_scans = weights[found.patient].sum(axis=0)  # (r,)
    n_lesions = weights[found.patient[found.lesion_scan]].sum(axis=0)
    nothing = np.zeros((1, weights.shape[1]))
    hits = np.concatenate([nothing, hits])  # above all thresholds
    reached = np.stack([(false <= rate * n_scans).sum(axis=0) for rate in rates])  # (rates, r)
    best = hits[reached, np.arange(weights.shape[1])]
    share: FloatArray = np.divide(best, n_lesions, out=np.full_like(best, np.nan), where=n_lesions > 0)
    return share


def _levels(found: Detections) -> FloatArray:
    """Return the confidences that occur, falling: (T,)."""
    values = np.concatenate([found.false_mark, found.lesion[np.isfinite(found.lesion)]])
    return np.unique(values)[::-1]


def _counts(found: Detections, level: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the weighted false marks, and lesions hit, at or above each level: (T, r) each."""
    hit = np.isfinite(found.lesion)
    false = _cumulated(found.false_mark, found.patient[found.false_scan], level, weights)
    return false, _cumulated(found.lesion[hit], found.patient[found.lesion_scan[hit]], level, weights)


def _cumulated(value: FloatArray, patient: IntArray, level: FloatArray, weights: FloatArray) -> FloatArray:
    order = np.argsort(-value, kind="stable")
    total: NDArray[np.float64] = np.zeros((value.size + 1, weights.shape[1]))
    np.cumsum(weights[patient[order]], axis=0, out=total[1:])
    return total[np.searchsorted(-value[order], -level, side="right")]
