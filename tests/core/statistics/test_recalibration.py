import numpy as np
import pytest

from pectl.core.statistics.logistic import sigmoid
from pectl.core.statistics.recalibration import recalibration


def test_in_the_large_by_hand():
    """All were told 0.5, a quarter of 40 are positive: logit 1/4 = -1.0986, variance 1 / (40 * 1/4 * 3/4)."""
    label = np.arange(40) < 10
    found = recalibration(label, np.full(40, 0.5), 0.95)
    assert found.in_the_large == pytest.approx(-np.log(3))
    half = 1.959964 / np.sqrt(7.5)
    assert found.in_the_large_interval == pytest.approx((-np.log(3) - half, -np.log(3) + half), rel=1e-5)
    assert np.isnan(found.slope)
    assert np.isnan(found.slope_interval).all()


def test_slope_and_its_interval_against_the_information_matrix():
    rng = np.random.default_rng(0)
    logit = rng.normal(size=300)
    label = rng.random(300) < sigmoid(0.6 * logit - 0.3)
    found = recalibration(label, sigmoid(logit), 0.95)
    design, weights = np.stack([np.ones(300), logit]), np.zeros(2)
    for _ in range(20):
        p = sigmoid(weights @ design)
        information = (design * p * (1 - p)) @ design.T
        weights += np.linalg.solve(information, design @ (label - p))
    error = np.sqrt(np.linalg.inv(information)[1, 1])
    assert found.slope == pytest.approx(weights[1])
    assert found.slope_interval == pytest.approx(
        (weights[1] - 1.959964 * error, weights[1] + 1.959964 * error), rel=1e-5
    )


def test_studies_that_come_twice_widen_the_intervals_to_those_of_patients():
    rng = np.random.default_rng(1)
    logit = rng.normal(size=100)
    label = rng.random(100) < sigmoid(logit)
    once = recalibration(label, sigmoid(logit), 0.95, np.arange(100))
    twice = recalibration(np.tile(label, 2), sigmoid(np.tile(logit, 2)), 0.95, np.tile(np.arange(100), 2))
    assert twice.slope == pytest.approx(once.slope)
    assert np.ptp(twice.slope_interval) == pytest.approx(np.ptp(once.slope_interval), rel=0.01)
    assert np.ptp(recalibration(np.tile(label, 2), sigmoid(np.tile(logit, 2)), 0.95).slope_interval) < 0.8 * np.ptp(
        twice.slope_interval
    )


@pytest.mark.parametrize("label", [np.ones(5, bool), np.zeros(5, bool)])
def test_one_class_has_none(label):
    found = recalibration(label, np.linspace(0.1, 0.9, 5), 0.95)
    assert np.isnan([found.in_the_large, found.slope, *found.in_the_large_interval, *found.slope_interval]).all()
