"""Decision thresholds, fitted on validation and then frozen: `score >= value` is a positive call."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

FIXED_THRESHOLD = 0.5
"""Used where nothing could be fitted."""


@dataclass(frozen=True)
class Threshold:
    """A frozen threshold: the rule it was fitted by, or the reason why it wasn't fitted."""

    value: float = FIXED_THRESHOLD
    rule: str = "fixed"
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Threshold":
        """Read what `to_json` wrote; an unknown key is a TypeError."""
        return cls(**data)


@dataclass(frozen=True)
class _Candidates:
    """All thresholds that differ in what they call, ascending, with their sensitivity and specificity."""

    value: FloatArray
    sensitivity: FloatArray
    specificity: FloatArray


def fit_threshold(label: BoolArray, score: FloatArray, *, rule: str, target: float) -> Threshold:
    """Choose a threshold on validation data.

    Args:
        label: (n,) bool.
        score: (n,) in [0, 1].
        rule: `youden` (largest sensitivity + specificity; of equals the most sensitive), `target-sensitivity`
            (the most specific that reaches `target`) or `target-specificity` (the most sensitive that does).
        target: for the two target rules.

    Returns:
        The threshold, midway between the two scores it parts. With one class only: 0.5, with the reason.

    Example:
        >>> label = np.array([True, True, True, False, False])
        >>> score = np.array([0.9, 0.7, 0.3, 0.4, 0.1])
        >>> fit_threshold(label, score, rule="target-sensitivity", target=0.6)
        Threshold(value=0.55, rule='target-sensitivity 0.6', reason=None)
    """
    n_positive = int(label.sum())
    if n_positive in (0, label.size):
        reason = f"not fitted: {n_positive} of {label.size} validation cases are positive"
        return Threshold(reason=reason)
    candidates = _candidates(label, score)
    index = _CHOICES[rule](candidates, target)
    return Threshold(float(candidates.value[index]), rule if rule == "youden" else f"{rule} {target:g}")


def _candidates(label: BoolArray, score: FloatArray) -> _Candidates:
    distinct = np.unique(score)
    above_all = (distinct[-1] + 1) / 2 if distinct[-1] < 1 else np.nextafter(1.0, 2.0)
    value = np.concatenate([[distinct[0] / 2], (distinct[1:] + distinct[:-1]) / 2, [above_all]])
    positive, negative = np.sort(score[label]), np.sort(score[~label])
    sensitivity = 1 - positive.searchsorted(value, "left") / positive.size
    specificity = negative.searchsorted(value, "left") / negative.size
    return _Candidates(value, sensitivity, specificity)


def _youden(candidates: _Candidates, _: float) -> int:
    return int(np.argmax(np.round(candidates.sensitivity + candidates.specificity, 12)))


def _reach_sensitivity(candidates: _Candidates, target: float) -> int:
    """The last (highest) threshold that reaches it; the first reaches 1."""
    return int(np.flatnonzero(candidates.sensitivity >= target)[-1])


def _reach_specificity(candidates: _Candidates, target: float) -> int:
    """The first (lowest) threshold that reaches it; the last reaches 1."""
    return int(np.flatnonzero(candidates.specificity >= target)[0])


_CHOICES = {
    "youden": _youden,
    "target-sensitivity": _reach_sensitivity,
    "target-specificity": _reach_specificity,
}
