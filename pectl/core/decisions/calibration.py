"""Calibrators: monotone maps from a score to a probability, fitted on validation and kept as JSON numbers."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pectl.core.statistics.logistic import FloatArray, logits, sigmoid

BoolArray = NDArray[np.bool_]
Kind = Literal["identity", "temperature", "isotonic"]

_LOG_TEMPERATURE_RANGE = (-4.0, 4.0)
"""Temperatures from 0.018 to 55: a fit at either end says that the scores carry no information."""


@dataclass(frozen=True)
class Calibrator:
    """A frozen map from score to probability.

    `temperature`: sigmoid(logit(score) / temperature) (Guo 2017). `isotonic`: linear between the knots
    (`knots_score`, `knots_probability`) and constant outside (Zadrozny and Elkan 2002). `reason` says why a
    calibrator that was asked for is the identity instead.
    """

    kind: Kind = "identity"
    temperature: float = 1.0
    knots_score: tuple[float, ...] = ()
    knots_probability: tuple[float, ...] = ()
    reason: str | None = None

    def apply(self, score: FloatArray) -> FloatArray:
        """Map scores in [0, 1] to probabilities in [0, 1]; NaN stays NaN."""
        if self.kind == "temperature":
            return sigmoid(logits(score) / self.temperature)
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
    """
    if kind == "none":
        return Calibrator()
    n_positive = int(label.sum())
    if n_positive in (0, label.size):
        return Calibrator(reason=f"not fitted: {n_positive} of {label.size} validation cases are positive")
    return {"temperature": _fit_temperature, "isotonic": _fit_isotonic}[kind](label, score)


def _fit_temperature(label: BoolArray, score: FloatArray) -> Calibrator:
    """Find the temperature of least log loss; log loss is unimodal in 1 / temperature.

    Of n cases of a class the targets are (n + 1) / (n + 2) and, for the other class, 1 / (n + 2) (Platt 1999): scores
    that rank without a fault would otherwise become certain.
    """
    from scipy.optimize import minimize_scalar  # only fitting needs it, and pays its second

    logit = logits(score)
    positive = int(label.sum())
    target = np.where(label, (positive + 1) / (positive + 2), 1 / (label.size - positive + 2))

    def loss(log_temperature: float) -> float:
        scaled = logit * np.exp(-log_temperature)
        return float(np.mean(np.logaddexp(0.0, scaled) - target * scaled))

    best = minimize_scalar(loss, bounds=_LOG_TEMPERATURE_RANGE, method="bounded", options={"xatol": 1e-6})
    return Calibrator("temperature", temperature=round(float(np.exp(best.x)), 6))


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
