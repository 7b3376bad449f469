import json

import numpy as np
import pytest
from scipy.stats import beta, norm

from pectl.core.decisions.conformal import AbstainBand, fit_band


def _fit(positive, negative, miss_rate=0.1, false_alarm_rate=0.1):
    score = np.array([*positive, *negative])
    label = np.arange(score.size) < len(positive)
    return fit_band(label, score, miss_rate=miss_rate, false_alarm_rate=false_alarm_rate)


def test_thresholds_by_hand():
    positive, negative = np.arange(1, 20) / 20, np.arange(1, 30) / 32  # 19 and 29: k = 2 of 20, 3 of 30
    band = _fit(positive, negative)
    assert band.rule_out == pytest.approx(2 / 20)
    assert band.rule_in == pytest.approx(27 / 32)
    assert (band.n_positive, band.n_negative) == (19, 29)
    assert band.called_negative(np.array([0.05, 0.0999, 0.1])).tolist() == [True, True, False]
    assert band.called_positive(np.array([27 / 32, 28 / 32])).tolist() == [False, True]


def test_the_share_of_one_calibration_is_beta_distributed():
    band = _fit(np.arange(1, 20) / 20, np.arange(1, 30) / 32)
    assert beta.cdf(band.miss_rate_sure, 2, 18) == pytest.approx(0.95)
    assert beta.cdf(band.false_alarm_rate_sure, 3, 27) == pytest.approx(0.95)
    assert AbstainBand().miss_rate_sure == 0.0


def test_too_few_cases_promise_nothing_and_get_no_answer():
    band = _fit([0.9] * 8, [0.1] * 8)
    assert band.rule_out == 0.0
    assert band.rule_in > 1.0
    every = np.array([0.0, 0.5, 1.0])
    assert not (band.called_negative(every) | band.called_positive(every)).any()
    assert AbstainBand().called_positive(every).tolist() == [False] * 3


def test_separated_classes_leave_no_band():
    band = _fit(np.linspace(0.8, 0.9, 19), np.linspace(0.1, 0.2, 19))
    assert band.rule_out == band.rule_in
    assert 0.2 < band.rule_in < 0.81


def test_a_bound_of_one_allows_every_miss():
    band = _fit([0.3, 0.6], [0.1, 0.2], miss_rate=1.0, false_alarm_rate=1.0)
    assert 0.1 <= band.rule_in <= band.rule_out <= 0.6


def test_bounds_hold_on_new_studies():
    """On average over calibrations, and in 95 % of them the larger ones that are for sure."""
    rng = np.random.default_rng(0)
    misses, alarms, sure = [], [], []
    for _ in range(600):
        band = _fit(*(rng.normal(mean, size=60).clip(-4, 4) / 10 + 0.5 for mean in (1, 0)))
        new = rng.normal(size=200).clip(-4, 4) / 10 + 0.5
        misses.append(band.called_negative(new + 0.1).mean())
        true_misses = norm.cdf(10 * (band.rule_out - 0.6))
        alarms.append(band.called_positive(new).mean())
        sure.append(true_misses <= band.miss_rate_sure)
    assert np.mean(sure) == pytest.approx(0.95, abs=0.03)
    assert np.mean(misses) == pytest.approx(6 / 61, abs=0.006)
    assert np.mean(alarms) == pytest.approx(6 / 61, abs=0.006)


def test_json_keeps_every_number():
    band = _fit(np.arange(40) / 41, np.arange(40) / 50)
    assert AbstainBand.from_json(json.loads(json.dumps(band.to_json()))) == band
