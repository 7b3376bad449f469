import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from pectl.core.decisions.thresholds import Threshold, fit_threshold

LABEL = np.array([False, False, False, True, False, True, True, True])
SCORE = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9])


def _rates(label, score, value):
    called = score >= value
    return called[label].mean(), (~called)[~label].mean()


def test_youden_lies_midway_between_the_scores_it_parts():
    threshold = fit_threshold(LABEL, SCORE, rule="youden", target=0.0)
    assert threshold.value == pytest.approx(0.35)  # sensitivity 1, specificity 3/4; 0.55 is as good, less sensitive
    assert threshold.rule == "youden"


@pytest.mark.parametrize(("target", "expected"), [(1.0, 0.35), (0.75, 0.55), (0.5, 0.7), (0.2, 0.85)])
def test_target_sensitivity_takes_the_most_specific_that_reaches_it(target, expected):
    threshold = fit_threshold(LABEL, SCORE, rule="target-sensitivity", target=target)
    assert threshold.value == pytest.approx(expected)
    assert threshold.rule == f"target-sensitivity {target:g}"


@pytest.mark.parametrize(("target", "expected"), [(1.0, 0.55), (0.75, 0.35), (0.5, 0.25), (0.0, 0.05)])
def test_target_specificity_takes_the_most_sensitive_that_reaches_it(target, expected):
    assert fit_threshold(LABEL, SCORE, rule="target-specificity", target=target).value == pytest.approx(expected)


def test_no_score_is_called_where_full_specificity_needs_it():
    label, score = np.array([True, False]), np.array([0.2, 1.0])
    threshold = fit_threshold(label, score, rule="target-specificity", target=1.0)
    assert _rates(label, score, threshold.value) == (0.0, 1.0)


@given(seed=st.integers(0, 10**6), n=st.integers(4, 60))
@settings(max_examples=60, deadline=None)
def test_youden_is_the_best_of_the_roc_curve(seed, n):
    rng = np.random.default_rng(seed)
    label = rng.random(n) < 0.5
    label[:2] = [True, False]
    score = np.round(rng.random(n), 1)
    false_rate, true_rate, _ = roc_curve(label, score)
    sensitivity, specificity = _rates(label, score, fit_threshold(label, score, rule="youden", target=0).value)
    assert sensitivity + specificity - 1 == pytest.approx(np.max(true_rate - false_rate))


def test_one_class_falls_back_to_a_half_and_says_why():
    threshold = fit_threshold(np.ones(3, bool), np.array([0.1, 0.2, 0.3]), rule="youden", target=0.5)
    assert threshold == Threshold(0.5, "fixed", "not fitted: 3 of 3 validation cases are positive")


def test_json_keeps_every_number():
    threshold = fit_threshold(LABEL, SCORE / 3, rule="youden", target=0)
    assert Threshold.from_json(json.loads(json.dumps(threshold.to_json()))) == threshold
