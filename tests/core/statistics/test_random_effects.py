import numpy as np
import pytest
from scipy.stats import t

from pectl.core.statistics.random_effects import random_effects


def test_three_sites_by_hand():
    """Equal variances v: Paule-Mandel's tau2 is then s2 - v, the mean plain, and Hartung-Knapp's error s / sqrt(k)."""
    effect, v = [1.0, 1.5, 2.3], 0.04
    s2 = (0.6**2 + 0.1**2 + 0.7**2) / 2  # mean 1.6
    found = random_effects(effect, [v] * 3, 0.95)
    assert found.mean == pytest.approx(1.6)
    assert found.tau2 == pytest.approx(s2 - v, rel=1e-5)
    assert found.q == pytest.approx(2 * s2 / v)
    assert found.i2 == pytest.approx(1 - v / s2)
    half = 4.302653 * np.sqrt(s2 / 3)
    assert found.interval == pytest.approx((1.6 - half, 1.6 + half), rel=1e-5)
    half = 12.706205 * np.sqrt(s2 - v + s2 / 3)
    assert found.prediction == pytest.approx((1.6 - half, 1.6 + half), rel=1e-5)


def test_tau2_is_where_the_weighted_squares_are_what_chance_expects():
    effect, variance = np.array([0.4, 1.9, 1.2, 2.6]), np.array([0.05, 0.2, 0.1, 0.4])
    found = random_effects(effect.tolist(), variance.tolist(), 0.9)
    weight = 1 / (variance + found.tau2)
    mean = (weight * effect).sum() / weight.sum()
    assert (weight * (effect - mean) ** 2).sum() == pytest.approx(3, rel=1e-5)
    assert found.mean == pytest.approx(mean)
    error = np.sqrt((weight * (effect - mean) ** 2).sum() / 3 / weight.sum())
    assert found.interval[1] - mean == pytest.approx(t.ppf(0.95, 3) * error, rel=1e-5)


def test_two_sites_that_agree_by_chance_have_no_narrow_interval_and_no_prediction():
    found = random_effects([1.5, 1.5001], [0.1, 0.1], 0.95)
    assert (found.tau2, found.i2) == (0.0, 0.0)
    half = 12.706205 * np.sqrt(0.05)
    assert found.interval == pytest.approx((1.50005 - half, 1.50005 + half), rel=1e-5)
    assert np.isnan(found.prediction).all()
