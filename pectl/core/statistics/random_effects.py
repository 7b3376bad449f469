"""Estimates of several sites as draws from one distribution: its mean, its spread, and where a further site may lie."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from pectl.core.statistics.intervals import UNDEFINED, Interval


@dataclass(frozen=True, kw_only=True)
class RandomEffects:
    """A random-effects summary of k estimates.

    Attributes:
        mean: of the distribution of effects.
        interval: of the mean.
        tau2: variance between sites.
        i2: share of the estimates' variance that lies between sites, in [0, 1].
        q: Cochran's heterogeneity statistic.
        prediction: where the effect of a further site lies; NaN of two sites, which leave no freedom for it.
    """

    mean: float
    interval: Interval
    tau2: float
    i2: float
    q: float
    prediction: Interval


def random_effects(effect: Sequence[float], variance: Sequence[float], confidence: float) -> RandomEffects:
    """Summarise the estimates (k,) of k >= 2 sites, given their variances (k,) within the sites.

    Between-site variance by Paule and Mandel 1982; interval of the mean by Hartung and Knapp 2001, never narrower than
    with their scale at 1 (Roever et al. 2015), as it otherwise is where few sites happen to agree; prediction interval
    by Higgins, Thompson and Spiegelhalter 2009.
    """
    from statsmodels.stats.meta_analysis import combine_effects  # seconds of imports

    k = len(effect)
    found = combine_effects(np.asarray(effect, float), np.asarray(variance, float), method_re="iterated", use_t=True)
    mean, tau2 = float(found.mean_effect_re), float(found.tau2)
    plain = float(found.sd_eff_w_re)
    error = plain * float(np.sqrt(max(1.0, found.scale_hksj_re)))
    q = float(found.q)
    return RandomEffects(
        mean=mean,
        interval=_around(mean, error, k - 1, confidence),
        tau2=tau2,
        i2=max(0.0, 1 - (k - 1) / q) if q > 0 else 0.0,
        q=q,
        prediction=_around(mean, float(np.sqrt(tau2 + plain**2)), k - 2, confidence) if k > 2 else UNDEFINED,
    )


def _around(mean: float, error: float, freedom: int, confidence: float) -> Interval:
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    return mean - half, mean + half
