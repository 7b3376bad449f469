"""A rule-out and a rule-in threshold with distribution-free bounds, and the band between them: no answer.

Split conformal prediction (Vovk 2005; Angelopoulos and Bates 2023): if a new study with PE is exchangeable
with the n that were calibrated on, the chance that its score lies below the k-th lowest of theirs is at most
k / (n + 1). The bound is over both the calibration and the new study; it holds for any model and any scores.
Of one calibration, the share of new studies that lie below is itself random: Beta(k, n + 1 - k) (Vovk 2012).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SURE = 0.95
"""Share of calibrations whose own miss rate stays below `miss_rate_sure`."""
_ABOVE_ALL = float(np.nextafter(1.0, 2.0))


@dataclass(frozen=True)
class AbstainBand:
    """Scores below `rule_out` are called negative, from `rule_in` on positive, and between them nothing.

    Attributes:
        rule_out: at most `miss_rate` of studies with PE lie below it; 0 if too few were seen.
        rule_in: at most `false_alarm_rate` of those without PE reach it; above 1 if too few.
        miss_rate: the bound asked for.
        false_alarm_rate: the bound asked for.
        n_positive: studies with PE that it was fitted on.
        n_negative: studies without PE.
    """

    rule_out: float = 0.0
    rule_in: float = _ABOVE_ALL
    miss_rate: float = 0.0
    false_alarm_rate: float = 0.0
    n_positive: int = 0
    n_negative: int = 0

    @property
    def miss_rate_sure(self) -> float:
        """What the miss rate of this very calibration stays below with a probability of `SURE`."""
        return _sure(self.miss_rate, self.n_positive)

    @property
    def false_alarm_rate_sure(self) -> float:
        """The same for its false alarms."""
        return _sure(self.false_alarm_rate, self.n_negative)

    def called_positive(self, score: FloatArray) -> BoolArray:
        """Return which scores are ruled in."""
        return np.asarray(score >= self.rule_in, np.bool_)

    def called_negative(self, score: FloatArray) -> BoolArray:
        """Return which scores are ruled out."""
        return np.asarray(score < self.rule_out, np.bool_)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "AbstainBand":
        """Read what `to_json` wrote; an unknown key is a TypeError."""
        return cls(**data)


def fit_band(label: BoolArray, score: FloatArray, *, miss_rate: float, false_alarm_rate: float) -> AbstainBand:
    """Fit the band on validation data.

    Where the two bounds leave nothing between them, both thresholds meet midway: every study gets an answer.

    Args:
        label: (n,) bool.
        score: (n,) in [0, 1].
        miss_rate: bound on the share of positives that are ruled out.
        false_alarm_rate: bound on the share of negatives that are ruled in.

    Example:
        >>> label = np.repeat([True, False], 19)
        >>> score = np.concatenate([np.linspace(0.3, 0.98, 19), np.linspace(0.02, 0.7, 19)])
        >>> band = fit_band(label, score, miss_rate=0.05, false_alarm_rate=0.05)
        >>> round(band.rule_out, 2), round(band.rule_in, 2)
        (0.3, 0.7)
    """
    positive, negative = np.sort(score[label]), np.sort(score[~label])
    below, above = _allowed(miss_rate, positive.size), _allowed(false_alarm_rate, negative.size)
    rule_out = float(positive[below - 1]) if below else 0.0
    rule_in = float(np.nextafter(negative[-above], 2.0)) if above else _ABOVE_ALL
    if rule_out > rule_in:
        rule_out = rule_in = (rule_out + rule_in) / 2
    return AbstainBand(rule_out, rule_in, miss_rate, false_alarm_rate, positive.size, negative.size)


def _allowed(rate: float, n: int) -> int:
    """Return the largest k of n with k / (n + 1) <= rate; 1e-9 lets 0.1 * 30 be 3, also in binary."""
    return min(n, math.floor(rate * (n + 1) + 1e-9))


def _sure(rate: float, n: int) -> float:
    from scipy.stats import beta  # takes seconds to import

    allowed = _allowed(rate, n)
    return float(beta.ppf(SURE, allowed, n + 1 - allowed)) if allowed else 0.0
