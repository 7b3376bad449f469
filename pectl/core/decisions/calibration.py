"""Calibrators: monotone maps from a score to a probability, fitted on validation and kept as JSON numbers."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from pectl.core.statistics.logistic import (
    BoolArray,
    FloatArray,
    fit_logistic,
    log_loss_of_logits,
    logits,
    sigmoid,
    smoothed_targets,
)

Kind = Literal["identity", "temperature", "platt", "isotonic"]

_LOG_TEMPERATURE_RANGE = (-4.0, 4.0)
"""Temperatures from 0.018 to 55; the largest makes all probabilities one half."""
_AT_BOUND = 1e-3
"""So near to an end, in logarithms, a search that stays within its bounds stops."""


@dataclass(frozen=True)
class Calibrator:
    """A frozen map from score to probability.

    `temperature`: sigmoid(logit(score) / temperature) (Guo 2017). `platt`: sigmoid(logit(score) / temperature +
    intercept) (Platt 1999, on logits). `isotonic`: linear between the knots (`knots_score`, `knots_probability`) and
    constant outside (Zadrozny and Elkan 2002). `reason` says why a calibrator that was asked for is the identity
    instead.
    """

    kind: Kind = "identity"
    temperature: float = 1.0
    intercept: float = 0.0
    knots_score: tuple[float, ...] = ()
    knots_probability: tuple[float, ...] = ()
    reason: str | None = None

    def apply(self, score: FloatArray) -> FloatArray:
        """Map scores in [0, 1] to probabilities in [0, 1]; NaN stays NaN."""
        if self.kind in ("temperature", "platt"):
            return sigmoid(logits(score) / self.temperature + self.intercept)
        if self.kind == "isotonic":
            return np.asarray(np.interp(score, self.knots_score, self.knots_probability), np.float64)
        return score

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Calibrator":
        """Read what `to_json` wrote; an unknown key is a TypeError."""
        knots = {name: tuple(data[name]) for name in ("knots_score", "knots_probability")}
        return cls(**{**data, **knots})


def fit_calibrator(label: BoolArray, score: FloatArray, kind: str) -> Calibrator:
    """Fit a calibrator on validation data: `label` (n,) and `score` (n,) in [0, 1].

    With one class only there is nothing to fit: the identity comes back, with the reason.

    Example:
        >>> label = np.array([True, True, False, True, False, False])
        >>> calibrator = fit_calibrator(label, np.array([0.99, 0.98, 0.97, 0.03, 0.02, 0.01]), "temperature")
        >>> calibrator.apply(np.array([0.99, 0.5, 0.01])).round(2)  # less sure than before
        array([0.64, 0.5 , 0.36])
    """
    if kind == "none":
        return Calibrator()
    n_positive = int(label.sum())
    if n_positive in (0, label.size):
        return Calibrator(reason=f"not fitted: {n_positive} of {label.size} validation cases are positive")
    return {"temperature": _fit_temperature, "platt": _fit_platt, "isotonic": _fit_isotonic}[kind](label, score)


def _fit_temperature(label: BoolArray, score: FloatArray) -> Calibrator:
    """Find the temperature of least log loss; log loss is unimodal in 1 / temperature.

    It is not fitted where it ends at its upper bound, as it does with shifted scores: all probabilities are 0.5 then.
    """
    from scipy.optimize import minimize_scalar  # only fitting needs it, and pays its second

    logit, target = logits(score), smoothed_targets(label)

    def loss(log_temperature: float) -> float:
        return log_loss_of_logits(logit * np.exp(-log_temperature), target)

    best = float(minimize_scalar(loss, bounds=_LOG_TEMPERATURE_RANGE, method="bounded", options={"xatol": 1e-6}).x)
    if _flat(best):
        return _not_fitted(best, "shifted, or rank by chance", "'platt' or 'isotonic'")
    return Calibrator("temperature", temperature=round(float(np.exp(best)), 6))


def _fit_platt(label: BoolArray, score: FloatArray) -> Calibrator:
    """Find temperature and intercept of least log loss."""
    lowest, highest = np.exp(_LOG_TEMPERATURE_RANGE)
    (slope,), intercept = fit_logistic(logits(score)[None], smoothed_targets(label), least=1 / highest, most=1 / lowest)
    if _flat(-np.log(slope)):
        return _not_fitted(-np.log(slope), "in no order, or the wrong one", "'isotonic'")
    return Calibrator("platt", temperature=round(float(1 / slope), 6), intercept=round(intercept, 6))


def _flat(log_temperature: float) -> bool:
    return bool(_LOG_TEMPERATURE_RANGE[1] - log_temperature < _AT_BOUND)


def _not_fitted(log_temperature: float, scores: str, instead: str) -> Calibrator:
    return Calibrator(
        reason=f"not fitted: the temperature ends at its bound of {np.exp(log_temperature):.3g}, which makes all "
        f"probabilities alike: the scores are {scores}; set evaluate.calibration = {instead}"
    )


def _fit_isotonic(label: BoolArray, score: FloatArray) -> Calibrator:
    """Pool adjacent violators on the distinct scores, and keep the ends of each pool.

    Probabilities stay 1 / (n + 2) away from 0 and 1 (Laplace's rule): n cases can't show certainty.
    """
    from scipy.optimize import isotonic_regression

    distinct, index, n = np.unique(score, return_inverse=True, return_counts=True)
    rate = np.bincount(index, weights=label) / n
    fitted = np.asarray(isotonic_regression(rate, weights=n).x)
    margin = 1.0 / (label.size + 2)
    fitted = np.clip(fitted, margin, 1 - margin)
    changes = fitted[1:] != fitted[:-1]
    ends = np.concatenate([[True], changes]) | np.concatenate([changes, [True]])
    return Calibrator(
        "isotonic", knots_score=tuple(distinct[ends].tolist()), knots_probability=tuple(fitted[ends].tolist())
    )
