"""Probabilities as logits, and back; and logistic regression."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_LOGIT_CLIP = 1e-7


def logits(score: FloatArray) -> FloatArray:
    """Return log(p / (1 - p)) with p kept 1e-7 from 0 and 1."""
    clipped = np.clip(score, _LOGIT_CLIP, 1 - _LOGIT_CLIP)
    return np.asarray(np.log(clipped) - np.log1p(-clipped), np.float64)


def sigmoid(logit: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-logit)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit)), np.float64)


def smoothed_targets(label: BoolArray) -> FloatArray:
    """Return what probabilities are fitted to: (n,).

    Of n cases of a class the targets are (n + 1) / (n + 2) and, for the other class, 1 / (n + 2) (Platt 1999): scores
    that rank without a fault would otherwise become certain.
    """
    positive = int(label.sum())
    return np.where(label, (positive + 1) / (positive + 2), 1 / (label.size - positive + 2))


def log_loss_of_logits(logit: FloatArray, target: FloatArray) -> float:
    """Return the mean log loss of logits (n,) against probabilities (n,)."""
    return float(np.mean(np.logaddexp(0.0, logit) - target * logit))


def fit_logistic(x: FloatArray, target: FloatArray, *, least: float, most: float) -> tuple[FloatArray, float]:
    """Find the slopes and the intercept whose logit has the least log loss, which is convex.

    Args:
        x: (K, n), a row for each slope.
        target: (n,) probabilities.
        least: that a slope may be.
        most: that a slope may be.

    Returns:
        The slopes (K,), and the intercept.
    """
    from scipy.optimize import minimize  # only fitting needs it, and pays its second

    def loss(at: FloatArray) -> tuple[float, FloatArray]:
        logit = (at[:-1, None] * x).sum(axis=0) + at[-1]
        pull = sigmoid(logit) - target
        return log_loss_of_logits(logit, target), np.append(np.mean(pull * x, axis=1), np.mean(pull))

    start, bounds = np.append(np.ones(len(x)), 0.0), [(least, most)] * len(x) + [(None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"gtol": 1e-9, "ftol": 1e-15})
    return np.asarray(found.x[:-1], np.float64), float(found.x[-1])
