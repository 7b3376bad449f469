"""Metrics of a binary score: exact, with ties, fast enough for millions of scores.

Functions take `label` (n,) bool and `score` (n,) in [0, 1], and return NaN where the metric isn't defined.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pectl.core.statistics.logistic import logits, sigmoid
from pectl.core.statistics.ranking import BoolArray, FloatArray, sorted_classes

ECE_BINS = 10
"""Equal-width bins of [0, 1] for the expected calibration error: [0, 0.1), [0.1, 0.2) ... [0.9, 1]."""
LOG_LOSS_CLIP = 1e-15
"""Probabilities are kept this far from 0 and 1 in a log loss, so that one certain error isn't infinite."""
_MAX_NEWTON_STEPS = 50
_NEWTON_TOLERANCE = 1e-10
_SEPARATED_SLOPE = 1e3
"""A recalibration slope beyond this means that the labels are separated: no finite maximum."""


@dataclass(frozen=True)
class Confusion:
    """Counts at a threshold: what was called positive, against what is."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def sensitivity(self) -> float:
        """Share of the positives that are called positive."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """Share of the negatives that are called negative."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def ppv(self) -> float:
        """Share of the positive calls that are right, at the data's own prevalence."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def npv(self) -> float:
        """Share of the negative calls that are right, at the data's own prevalence."""
        return _ratio(self.tn, self.tn + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of sensitivity and PPV."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def predictive_values_at(self, prevalence: float) -> tuple[float, float]:
        """Return PPV and NPV for another prevalence, by Bayes' rule from sensitivity and specificity."""
        hit, false_alarm = self.sensitivity * prevalence, (1 - self.specificity) * (1 - prevalence)
        miss, correct = (1 - self.sensitivity) * prevalence, self.specificity * (1 - prevalence)
        return _ratio(hit, hit + false_alarm), _ratio(correct, correct + miss)


def confusion(label: BoolArray, score: FloatArray, threshold: float) -> Confusion:
    """Count outcomes where `score >= threshold` is a positive call.

    Example:
        >>> counts = confusion(np.array([True, True, False, False]), np.array([0.9, 0.4, 0.6, 0.1]), threshold=0.5)
        >>> counts
        Confusion(tp=1, fp=1, fn=1, tn=1)
        >>> counts.predictive_values_at(prevalence=0.15)  # PPV, NPV
        (0.15, 0.85)
    """
    called = score >= threshold
    n_positive, n_called = int(np.count_nonzero(label)), int(np.count_nonzero(called))
    tp = int(np.count_nonzero(called & label))
    return Confusion(tp=tp, fp=n_called - tp, fn=n_positive - tp, tn=label.size - n_positive - n_called + tp)


def average_precision(label: BoolArray, score: FloatArray) -> float:
    """Return the step-wise area under the precision-recall curve.

    It is the mean, over positives, of the precision at that positive's score; tied scores come together.

    Example:
        >>> average_precision(np.array([True, True, False, False]), np.array([0.9, 0.4, 0.6, 0.1]))
        0.8333333333333333
    """
    positive, negative = sorted_classes(label, score)
    if not positive.size:
        return np.nan
    true_calls = positive.size - positive.searchsorted(positive, "left")
    false_calls = negative.size - negative.searchsorted(positive, "left")
    return float(np.mean(true_calls / (true_calls + false_calls)))


def brier(label: BoolArray, score: FloatArray) -> float:
    """Return the mean squared difference between probability and outcome.

    Example:
        >>> round(brier(np.array([True, False]), np.array([0.9, 0.2])), 3)
        0.025
    """
    return float(np.mean(np.square(score - label))) if label.size else np.nan


def log_loss(label: BoolArray, score: FloatArray) -> float:
    """Return the mean binary log loss (natural logarithm).

    Example:
        >>> round(log_loss(np.array([True, False]), np.array([0.9, 0.2])), 3)
        0.164
    """
    return float(np.mean(log_losses(label.astype(np.float64), score))) if label.size else np.nan


def log_losses(label: FloatArray, score: FloatArray) -> FloatArray:
    """Return the log loss of each element; `label` is 0 or 1, NaN gives NaN."""
    clipped = np.clip(score, LOG_LOSS_CLIP, 1 - LOG_LOSS_CLIP)
    return -(label * np.log(clipped) + (1 - label) * np.log1p(-clipped))


def expected_calibration_error(label: BoolArray, score: FloatArray) -> float:
    """Return the mean of `|share of positives - mean score|` over `ECE_BINS` bins, weighted by their size.

    Example:
        >>> round(expected_calibration_error(np.array([True, False]), np.array([0.95, 0.15])), 3)
        0.1
    """
    if not label.size:
        return np.nan
    _, mean_score, rate, n = calibration_bins(label, score)
    return float(np.sum(n * np.abs(rate - mean_score)) / label.size)


def calibration_bins(
    label: BoolArray, score: FloatArray
) -> tuple[NDArray[np.int64], FloatArray, FloatArray, NDArray[np.int64]]:
    """Return, for each bin that isn't empty: its index, mean score, share of positives and size."""
    index = np.minimum((score * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    n = np.bincount(index, minlength=ECE_BINS)
    score_sum = np.bincount(index, weights=score, minlength=ECE_BINS)
    label_sum = np.bincount(index, weights=label, minlength=ECE_BINS)
    filled = np.flatnonzero(n)
    return filled, score_sum[filled] / n[filled], label_sum[filled] / n[filled], n[filled]


def calibration_slope(label: BoolArray, score: FloatArray) -> float:
    """Return the slope of a logistic regression of the label on logit(score).

    1 is right, below 1 is overconfident.
    NaN where one class is missing or the score separates the classes (the slope would be infinite).

    Example:
        >>> label = np.array([True, False, True, False, True, False])
        >>> round(calibration_slope(label, np.array([0.99, 0.9, 0.9, 0.1, 0.1, 0.01])), 2)
        0.34
    """
    logit = logits(score)
    weights = np.zeros(2)
    design = np.stack([np.ones_like(logit), logit])  # (2, n)
    if label.all() or not label.any() or np.ptp(logit) == 0:
        return np.nan
    for _ in range(_MAX_NEWTON_STEPS):
        step = _newton_step(design, weights, label)
        weights += step
        if np.abs(weights).max() > _SEPARATED_SLOPE:
            return np.nan
        if np.abs(step).max() < _NEWTON_TOLERANCE:
            return float(weights[1])
    return np.nan


def calibration_intercept(label: BoolArray, score: FloatArray) -> float:
    """Return calibration in the large: the shift of logit(score) that makes the mean score the prevalence.

    0 is right, below 0 means scores are too high on average (Van Calster 2016). NaN for one class only.

    Example:
        >>> label = np.array([True, False, False, False])  # a quarter, where 0.5 was said
        >>> round(calibration_intercept(label, np.full(4, 0.5)), 3)
        -1.099
    """
    if label.all() or not label.any():
        return np.nan
    logit, shift = logits(score), 0.0
    for _ in range(_MAX_NEWTON_STEPS):
        expected = sigmoid(logit + shift)
        step = float(np.sum(label - expected) / np.sum(expected * (1 - expected)))
        shift += float(np.clip(step, -2.0, 2.0))  # a bounded step: the curve is flat far away
        if abs(step) < _NEWTON_TOLERANCE:
            return shift
    return np.nan


def _newton_step(design: FloatArray, weights: FloatArray, label: BoolArray) -> FloatArray:
    expected = sigmoid(weights @ design)
    curvature = (design * (expected * (1 - expected))) @ design.T
    if np.linalg.cond(curvature) > 1 / np.finfo(np.float64).eps:
        return np.full(2, np.inf)
    return np.asarray(np.linalg.solve(curvature, design @ (label - expected)), np.float64)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else np.nan
