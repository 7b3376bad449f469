"""How probabilities would have to be moved to be right: calibration in the large, and slope, with intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pectl.core.statistics.bootstrap import IntArray
from pectl.core.statistics.intervals import UNDEFINED, Interval, normal_quantile
from pectl.core.statistics.logistic import logits
from pectl.core.statistics.metrics import calibration_intercept, calibration_slope
from pectl.core.statistics.ranking import BoolArray, FloatArray


@dataclass(frozen=True, kw_only=True)
class Recalibration:
    """Logistic recalibration (Cox 1958; Van Calster et al. 2016); NaN where it isn't defined.

    Attributes:
        in_the_large: what to add to the logits so that the mean probability is the prevalence; 0 is right, below 0
            probabilities are too high.
        slope: of the outcome on the logits; 1 is right, below 1 probabilities are too extreme.
    """

    in_the_large: float
    in_the_large_interval: Interval
    slope: float
    slope_interval: Interval


def recalibration(
    label: BoolArray, probability: FloatArray, confidence: float, cluster: IntArray | None = None
) -> Recalibration:
    """Measure the calibration of (n,) probabilities.

    Args:
        label: (n,) bool.
        probability: (n,) in [0, 1].
        confidence: of the intervals, Wald's by a logistic regression.
        cluster: (n,) patient of each study: variances are then robust against repetition (Liang and Zeger 1986).
    """
    in_the_large, slope = calibration_intercept(label, probability), calibration_slope(label, probability)
    logit, one = logits(probability), np.ones(label.size)
    return Recalibration(
        in_the_large=in_the_large,
        in_the_large_interval=_interval(in_the_large, label, one[:, None], logit, cluster, confidence),
        slope=slope,
        slope_interval=_interval(slope, label, np.stack([logit, one], axis=1), 0.0 * logit, cluster, confidence),
    )


def _interval(
    value: float,
    label: BoolArray,
    design: FloatArray,
    offset: FloatArray,
    cluster: IntArray | None,
    confidence: float,
) -> Interval:
    """Return the interval of the first coefficient of a logistic regression on `design` (n, p); `value` is it."""
    if np.isnan(value):
        return UNDEFINED
    half = normal_quantile(confidence) * float(_errors(label, design, offset, cluster)[0])
    return value - half, value + half


def _errors(label: BoolArray, design: FloatArray, offset: FloatArray, cluster: IntArray | None) -> NDArray[np.float64]:
    from statsmodels.genmod.families import Binomial  # seconds of imports
    from statsmodels.genmod.generalized_linear_model import GLM

    model = GLM(label.astype(np.float64), design, family=Binomial(), offset=offset)
    robust = {} if cluster is None else {"cov_type": "cluster", "cov_kwds": {"groups": cluster}}
    return np.asarray(model.fit(**robust).bse, np.float64)
