"""ROC and precision-recall curves with pointwise bands of the study-cluster bootstrap, ready to be drawn."""

from dataclasses import dataclass

import numpy as np

from pectl.core.statistics.bootstrap import IntArray, Weights, study_weights
from pectl.core.statistics.ranking import BoolArray, FloatArray

GRID = np.linspace(0.0, 1.0, 101)
"""Abscissae of the bands."""
_BAND_THRESHOLDS = 256
"""A band is evaluated at this many quantiles of the scores: finer than a line is wide."""
_LINE_POINTS = 400


@dataclass(frozen=True)
class Curve:
    """A line `x`, `y`, and its band `low`, `high` over `GRID` (NaN where undefined)."""

    x: FloatArray
    y: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class Curves:
    """ROC (1 - specificity, sensitivity) and precision-recall (sensitivity, PPV) of one score."""

    roc: Curve
    precision_recall: Curve


def curves(
    label: BoolArray,
    score: FloatArray,
    study: IntArray | None = None,
    *,
    replicates: int = 500,
    seed: int = 0,
) -> Curves | None:
    """Return both curves with 95 % bands; None where one class is missing.

    Args:
        label: (n,) bool.
        score: (n,).
        study: (n,) 0..C-1, the study that each unit belongs to; None takes every unit for itself.
        replicates: of the bootstrap.
        seed: of the bootstrap.
    """
    if label.all() or not label.any():
        return None
    units = np.arange(label.size) if study is None else study
    false_rate, true_rate, precision = _line(label, score)
    roc_band, pr_band = _bands(label, score, units, replicates=replicates, seed=seed)
    return Curves(
        Curve(*_thinned(false_rate, true_rate), *roc_band),
        Curve(*_thinned(true_rate[1:], precision[1:]), *pr_band),
    )


def _line(label: BoolArray, score: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return false positive rate, true positive rate and precision at every distinct score, descending."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), label.size - 1)  # of each run of ties
    tp = np.concatenate([[0], np.cumsum(label[order])[last]])
    called = np.concatenate([[0], last + 1])
    n_positive = tp[-1]
    precision = np.divide(tp, called, out=np.ones(tp.size), where=called > 0)
    return (called - tp) / (label.size - n_positive), tp / n_positive, precision


def _thinned(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Keep at most _LINE_POINTS points, evenly spaced along the line."""
    if x.size <= _LINE_POINTS:
        return x, y
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    keep = np.unique(length.searchsorted(np.linspace(0, length[-1], _LINE_POINTS)))
    keep = np.minimum(keep, x.size - 1)
    return x[keep], y[keep]


Band = tuple[FloatArray, FloatArray]


def _bands(label: BoolArray, score: FloatArray, study: IntArray, *, replicates: int, seed: int) -> tuple[Band, Band]:
    weights = study_weights(int(study.max()) + 1, replicates=replicates, seed=seed)
    true_calls = _replicate_calls(label, label, score, study, weights)
    false_calls = _replicate_calls(~label, label, score, study, weights)
    whole = (true_calls[:, -1] > 0) & (false_calls[:, -1] > 0)
    true_calls, false_calls = true_calls[whole], false_calls[whole]
    sensitivity = true_calls / true_calls[:, -1:]
    false_rate = false_calls / false_calls[:, -1:]
    precision = true_calls / np.maximum(true_calls + false_calls, 1)
    roc = [np.interp(GRID, x, y) for x, y in zip(false_rate, sensitivity, strict=True)]
    first = [np.minimum(x.searchsorted(GRID), x.size - 1) for x in sensitivity]
    pr = [y[index] for y, index in zip(precision, first, strict=True)]
    pr_low, pr_high = _quantiles(np.array(pr))
    pr_low[0] = pr_high[0] = np.nan  # nothing is called at sensitivity 0
    return _quantiles(np.array(roc)), (pr_low, pr_high)


def _replicate_calls(
    of: BoolArray, label: BoolArray, score: FloatArray, study: IntArray, weights: Weights
) -> FloatArray:
    """Count, for each replicate and each falling threshold, the called units among `of`: (R, T + 1)."""
    levels = np.linspace(0, 1, _BAND_THRESHOLDS // 2)
    thresholds = np.unique(np.concatenate([np.quantile(score[label], levels), np.quantile(score[~label], levels)]))
    bins = thresholds.size - thresholds.searchsorted(score[of], "right")  # 0 holds the highest scores
    shape = (weights.shape[0], thresholds.size + 1)
    counts = np.bincount(study[of] * shape[1] + bins, minlength=shape[0] * shape[1]).reshape(shape)
    return np.asarray(np.cumsum(weights.T @ counts.astype(np.float32), axis=1), np.float64)


def _quantiles(replicates: FloatArray) -> Band:
    if not replicates.size:
        return np.full(GRID.size, np.nan), np.full(GRID.size, np.nan)
    low, high = np.quantile(replicates, [0.025, 0.975], axis=0)
    return low, high
