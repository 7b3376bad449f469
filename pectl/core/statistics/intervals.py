"""Confidence intervals in closed form: of proportions and of AUROCs. NaN where they aren't defined."""

import numpy as np
from scipy.special import ndtri

Interval = tuple[float, float]
UNDEFINED: Interval = (np.nan, np.nan)
_INSIDE = 1e-9
"""Keeps a root search off 0 and 1, where Newcombe's equation has a root that isn't the bound."""


def wilson(hits: int, n: int, confidence: float) -> Interval:
    """Return Wilson's score interval of hits / n (Wilson 1927).

    Example:
        >>> [round(bound, 3) for bound in wilson(65, 65, confidence=0.95)]
        [0.944, 1.0]
    """
    if n == 0:
        return UNDEFINED
    z2 = normal_quantile(confidence) ** 2
    centre = (hits + z2 / 2) / (n + z2)
    half = np.sqrt(z2 * (hits * (n - hits) / n + z2 / 4)) / (n + z2)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def newcombe_paired(both: int, first: int, second: int, neither: int, confidence: float) -> Interval:
    """Return a score interval of the difference of two paired proportions (first - second).

    Newcombe 1998 (Stat Med 17:2635), method 10: Wilson's intervals, joined by the correlation phi.

    Args:
        both: cases that are hits of both.
        first: hits of the first alone.
        second: hits of the second alone.
        neither: hits of neither.
        confidence: of the interval.

    Example:
        >>> [round(bound, 3) for bound in newcombe_paired(both=36, first=12, second=2, neither=0, confidence=0.95)]
        [0.057, 0.34]
    """
    n = both + first + second + neither
    if n == 0:
        return UNDEFINED
    hits = both + first, both + second
    (low1, high1), (low2, high2) = (wilson(count, n, confidence) for count in hits)
    share1, share2 = (count / n for count in hits)
    phi = _phi(both, first, second, neither)

    def reach(a: float, b: float) -> float:
        return float(np.sqrt(max(0.0, a**2 - 2 * phi * a * b + b**2)))

    difference = share1 - share2
    return (
        difference - reach(share1 - low1, high2 - share2),
        difference + reach(high1 - share1, share2 - low2),
    )


def _phi(both: int, first: int, second: int, neither: int) -> float:
    """Return the correlation of two paired proportions, with Newcombe's continuity correction; 0 if undefined."""
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    if product == 0:
        return 0.0
    cross, half = both * neither - first * second, (both + first + second + neither) / 2
    corrected = cross if cross < 0 else max(0.0, cross - half)
    return float(corrected / np.sqrt(product))


def wald(value: float, variance: float, confidence: float) -> Interval:
    """Return value -+ z * standard error, cut at 0 and 1, as is usual for DeLong's variance."""
    if not variance >= 0:
        return UNDEFINED
    half = normal_quantile(confidence) * float(np.sqrt(variance))
    return max(0.0, value - half), min(1.0, value + half)


def newcombe(auc: float, n_positive: int, n_negative: int, confidence: float) -> Interval:
    """Return a score interval of an AUROC, which has a width also where the classes are separated.

    Newcombe 2006 (Stat Med 25:559), method 5: the values from which `auc` is z standard errors away, by
    Hanley and McNeil's variance with (n_positive + n_negative) / 2 for both classes.

    Example:
        >>> [round(bound, 3) for bound in newcombe(1.0, n_positive=22, n_negative=24, confidence=0.95)]
        [0.912, 1.0]
    """
    from scipy.optimize import brentq  # a second of imports, for separated classes alone

    z, pairs = normal_quantile(confidence), n_positive * n_negative
    extra = (n_positive + n_negative) / 2 - 1

    def excess(true: float) -> float:
        spread = 1 + extra * ((1 - true) / (2 - true) + true / (1 + true))
        return (auc - true) ** 2 - z**2 * true * (1 - true) * spread / pairs

    low = 0.0 if auc == 0 else float(brentq(excess, 0.0, min(auc, 1 - _INSIDE)))
    high = 1.0 if auc == 1 else float(brentq(excess, max(auc, _INSIDE), 1.0))
    return low, high


def normal_quantile(confidence: float) -> float:
    """Return how many standard deviations to either side hold so large a share of a normal distribution."""
    return float(ndtri((1 + confidence) / 2))
