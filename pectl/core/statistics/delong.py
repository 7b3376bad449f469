"""Variance of the AUROC and of its differences, in closed form.

DeLong, DeLong and Clarke-Pearson 1988 (Biometrics 44:837) for independent units; Obuchowski 1997
(Biometrics 53:567) for units that come in clusters, as the windows and images of one study do.
Placement values come from two sorts and look-ups (cf. Sun and Xu 2014), so a million units are no problem.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from pectl.core.statistics.ranking import BoolArray, FloatArray, sorted_classes

IntArray = NDArray[np.intp]


@dataclass(frozen=True)
class AucCovariance:
    """AUROCs of k scores on the same units, and their covariance: `auc` (k,), `covariance` (k, k)."""

    auc: FloatArray
    covariance: FloatArray

    def difference_variance(self, first: int = 0, second: int = 1) -> float:
        """Return the variance of the difference between two of the scores."""
        cov = self.covariance
        return float(cov[first, first] + cov[second, second] - 2 * cov[first, second])

    def paired_test(self, first: int = 0, second: int = 1) -> tuple[float, float, float]:
        """Compare two of the scores: difference first - second, z, two-sided p; NaN if its variance is 0."""
        difference = float(self.auc[first] - self.auc[second])
        variance = self.difference_variance(first, second)
        if not variance > 0:
            return difference, np.nan, np.nan
        z = difference / float(np.sqrt(variance))
        return difference, z, float(2 * ndtr(-abs(z)))


def placements(label: BoolArray, score: FloatArray) -> FloatArray:
    """Return each unit's placement value (n,): the share of the other class it is ranked rightly against.

    Ties count one half. The mean over either class is the AUROC.
    """
    positive, negative = sorted_classes(label, score)
    values = np.empty(label.size)
    values[label] = _share_below(negative, score[label])
    values[~label] = 1.0 - _share_below(positive, score[~label])
    return values


def _share_below(ascending: FloatArray, score: FloatArray) -> FloatArray:
    """Look up in ascending order of `score`, which keeps the binary searches in the cache."""
    order = np.argsort(score)
    ordered = score[order]
    twice = ascending.searchsorted(ordered, "left") + ascending.searchsorted(ordered, "right")
    share = np.empty(score.size)
    share[order] = twice / (2 * ascending.size)
    return share


def auc_covariance(label: BoolArray, scores: FloatArray, cluster: IntArray | None = None) -> AucCovariance:
    """Return the AUROCs of `scores` (k, n) and their covariance.

    Args:
        label: (n,) bool with both classes.
        scores: (k, n), one row a score.
        cluster: (n,) study of each unit as 0..C-1 (Obuchowski 1997); None takes every unit for itself
            (DeLong 1988).

    Example:
        >>> label = np.array([True, True, True, False, False, False])
        >>> scores = np.array([[0.9, 0.8, 0.3, 0.4, 0.2, 0.1], [0.7, 0.3, 0.4, 0.6, 0.5, 0.1]])
        >>> result = auc_covariance(label, scores)
        >>> result.auc.round(3)
        array([0.889, 0.556])
        >>> [round(value, 2) for value in result.paired_test()]  # difference, z, p
        [0.33, 1.22, 0.22]
    """
    deviations = np.stack([placements(label, score) for score in scores])  # (k, n)
    auc = deviations[:, label].mean(axis=1)
    deviations -= auc[:, None]
    units = np.arange(label.size) if cluster is None else cluster
    positive = _cluster_sums(deviations, label, units)
    negative = _cluster_sums(deviations, ~label, units)
    total = _spread(positive, units[label]) + _spread(negative, units[~label]) + _cross(positive, negative, units)
    return AucCovariance(auc, total)


def _cluster_sums(deviations: FloatArray, mask: BoolArray, cluster: IntArray) -> FloatArray:
    """Sum one class's deviations by cluster, divided by that class's size: (k, C)."""
    n_clusters = int(cluster.max()) + 1
    sums = [np.bincount(cluster[mask], weights=row[mask], minlength=n_clusters) for row in deviations]
    return np.asarray(np.stack(sums) / np.count_nonzero(mask), np.float64)


def _spread(sums: FloatArray, members: IntArray) -> FloatArray:
    """S10 / M and S01 / N of Obuchowski 1997; of DeLong 1988 where each cluster holds one unit."""
    return np.asarray(_small_sample(members) * (sums @ sums.T), np.float64)


def _cross(positive: FloatArray, negative: FloatArray, cluster: IntArray) -> FloatArray:
    """The covariance of positives and negatives within a cluster, S11 / MN, both ways round."""
    both = positive @ negative.T
    return np.asarray(_small_sample(cluster) * (both + both.T), np.float64)


def _small_sample(members: IntArray) -> float:
    """Return I / (I - 1) for I clusters; NaN for one cluster, which shows no spread."""
    n = np.unique(members).size
    return n / (n - 1) if n > 1 else np.nan
