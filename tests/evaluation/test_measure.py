"""Blocks of metrics where data are few, tied or separated: an interval that means something, or null and why."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, f1_score, log_loss, precision_score

from pectl.core.statistics.bootstrap import study_weights
from pectl.evaluation.measure import Units, measure


def _block(label, score, study=None):
    label, score = np.array(label, bool), np.array(score, float)
    clusters = {}
    if study is not None:
        study = np.array(study)
        clusters = {"study": study, "weights": study_weights(int(study.max()) + 1, replicates=200, seed=0)}
    return measure(Units(label, score, score, **clusters), threshold=0.5, confidence=0.95)


def test_every_number_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    label = rng.random(200) < 0.3
    score = np.clip(np.round(0.3 + 0.3 * label + 0.2 * rng.normal(size=200), 2), 0.01, 0.99)
    block = _block(label, score)
    assert block["ppv"] == pytest.approx(precision_score(label, score >= 0.5))
    assert block["npv"] == pytest.approx(precision_score(~label, score < 0.5))
    assert block["f1"] == pytest.approx(f1_score(label, score >= 0.5))
    assert block["log_loss"] == pytest.approx(log_loss(label, score))
    assert block["brier"] == pytest.approx(brier_score_loss(label, score))
    assert block["reason"] is None


def test_equal_scores_have_an_auroc_without_an_interval():
    for study in (None, [0, 1, 2, 3]):
        block = _block([1, 0, 1, 0], [0.3] * 4, study)
        assert (block["auroc"], block["auroc_ci"], block["ci_method"]) == (0.5, None, None)
        assert block["reason"].startswith("all scores are equal: auroc_ci, ")
    assert block["auroc_ci_bootstrap"] == [0.5, 0.5]


def test_one_positive_case_shows_no_spread():
    block = _block([1, 0, 0], [0.3, 0.2, 0.4])
    assert (block["auroc"], block["auroc_ci"], block["ci_method"]) == (0.5, None, None)
    assert "one class has a single case: auroc_ci not defined" in block["reason"]
    assert block["sensitivity_ci"][1] < 0.8  # Wilson's: none of one


def test_a_class_in_one_study_shows_no_spread():
    block = _block([1, 1, 0, 0, 0], [0.9, 0.2, 0.1, 0.7, 0.3], [0, 0, 1, 1, 2])
    assert block["auroc_ci"] is None
    assert block["auroc_ci_bootstrap"] is None
    assert block["sensitivity"] == 0.5
    assert block["sensitivity_ci"] is None
    assert block["specificity_ci"] is not None
    assert "one class has a single study: auroc_ci, auroc_ci_bootstrap, sensitivity_ci not defined" in block["reason"]


def test_calls_of_one_study_only_are_named():
    block = _block([1, 0, 0, 1, 0], [0.9, 0.8, 0.1, 0.3, 0.2], [0, 0, 1, 1, 2])
    assert block["ppv"] == 0.5
    assert block["ppv_ci"] is None
    assert "all that are called positive lie in one study: ppv_ci not defined" in block["reason"]


def test_separated_classes_have_a_width_and_no_slope():
    block = _block([1, 0], [0.8, 0.2])
    assert (block["auroc"], block["ci_method"]) == (1.0, "newcombe")
    assert block["auroc_ci"][0] < 0.3
    block = _block([1, 1, 1, 0, 0, 0], [0.9, 0.8, 0.7, 0.3, 0.2, 0.1])
    assert block["reason"] == "3 of 6 are positive, too few or too well separated: calibration_slope not defined"


def test_certain_probabilities_leave_every_number_finite():
    block = _block([1, 0, 1, 0, 1, 0], [1, 0, 0, 1, 1, 0])
    assert block["log_loss"] == pytest.approx(2 * -np.log(1e-15) / 6, rel=1e-3)
    assert block["auroc"] == pytest.approx(2 / 3)
    assert block["reason"] is None


def test_no_cases_are_null_throughout():
    block = _block([], [])
    assert block["n"] == 0
    assert block["reason"].startswith("no labelled cases: auroc, ")
    assert {name for name, value in block.items() if isinstance(value, float)} == {"threshold"}
