import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from pectl.core.statistics import metrics
from pectl.core.statistics.ranking import auroc


@st.composite
def _tied_scores(draw):
    n = draw(st.integers(2, 60))
    label = draw(hnp.arrays(bool, n))
    label[:2] = [True, False]
    return label, draw(hnp.arrays(np.int64, n, elements=st.integers(0, 7))) / 7


@given(_tied_scores())
@settings(max_examples=150, deadline=None)
def test_ranking_metrics_equal_scikit_learn_with_ties(data):
    label, score = data
    assert auroc(label, score) == pytest.approx(reference.roc_auc_score(label, score), abs=1e-12)
    expected = reference.average_precision_score(label, score)
    assert metrics.average_precision(label, score) == pytest.approx(expected, abs=1e-12)


def test_probability_metrics_equal_scikit_learn():
    rng = np.random.default_rng(0)
    label, score = rng.random(500) < 0.3, rng.random(500)
    assert metrics.brier(label, score) == pytest.approx(reference.brier_score_loss(label, score))
    assert metrics.log_loss(label, score) == pytest.approx(reference.log_loss(label, score))
    certain = np.array([1.0, 0.0])
    assert metrics.log_loss(np.array([True, False]), certain) == pytest.approx(0.0, abs=1e-14)
    assert metrics.log_loss(np.array([False, True]), certain) == pytest.approx(-np.log(1e-15), rel=1e-2)


def test_confusion_at_a_threshold_by_hand():
    label = np.array([True, True, True, False, False, False, False])
    score = np.array([0.9, 0.5, 0.2, 0.5, 0.4, 0.1, 0.0])
    counts = metrics.confusion(label, score, 0.5)
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (2, 1, 1, 3)
    assert counts.sensitivity == counts.ppv == counts.f1 == 2 / 3
    assert counts.specificity == counts.npv == 3 / 4


def test_predictive_values_at_another_prevalence_follow_bayes():
    counts = metrics.Confusion(tp=80, fp=30, fn=20, tn=70)
    ppv, npv = counts.predictive_values_at(0.1)
    assert ppv == pytest.approx(0.8 * 0.1 / (0.8 * 0.1 + 0.3 * 0.9))
    assert npv == pytest.approx(0.7 * 0.9 / (0.7 * 0.9 + 0.2 * 0.1))
    assert counts.predictive_values_at(0.5) == pytest.approx((counts.ppv, counts.npv))


def test_calibration_error_by_hand():
    label = np.array([False, True, True, True])
    score = np.array([0.05, 0.05, 0.95, 1.0])  # bins 0 and 9; 1.0 belongs to the last
    assert metrics.expected_calibration_error(label, score) == pytest.approx(
        0.5 * abs(0.5 - 0.05) + 0.5 * abs(1.0 - 0.975)
    )
    index, mean_score, rate, n = metrics.calibration_bins(label, score)
    assert index.tolist() == [0, 9]
    assert mean_score.tolist() == [0.05, 0.975]
    assert rate.tolist() == [0.5, 1.0]
    assert n.tolist() == [2, 2]


def test_calibration_slope_equals_an_unpenalised_logistic_regression():
    rng = np.random.default_rng(1)
    logit = rng.normal(size=800)
    label = rng.random(800) < 1 / (1 + np.exp(-(0.4 + 0.6 * logit)))
    score = 1 / (1 + np.exp(-logit))
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(logit[:, None], label)
    assert metrics.calibration_slope(label, score) == pytest.approx(model.coef_[0, 0], abs=1e-5)


def test_calibration_intercept_makes_the_mean_score_the_prevalence():
    rng = np.random.default_rng(2)
    label, score = rng.random(300) < 0.2, rng.random(300)
    shift = metrics.calibration_intercept(label, score)
    moved = 1 / (1 + np.exp(-(np.log(score / (1 - score)) + shift)))
    assert moved.mean() == pytest.approx(label.mean(), abs=1e-9)
    assert metrics.calibration_intercept(np.arange(100) < 1, np.full(100, 0.999999)) == pytest.approx(
        np.log(0.01 / 0.99) - np.log(0.999999 / 1e-6), abs=1e-6
    )


def test_a_separating_score_has_no_calibration_slope():
    label = np.array([False, False, True, True])
    assert np.isnan(metrics.calibration_slope(label, np.array([0.1, 0.2, 0.8, 0.9])))
    assert np.isnan(metrics.calibration_slope(label, np.full(4, 0.3)))


@pytest.mark.parametrize("positive", [True, False])
def test_one_class_gives_nan_and_no_warning(positive):
    label, score = np.full(3, positive), np.array([0.1, 0.2, 0.3])
    assert np.isnan(auroc(label, score))
    assert np.isnan(metrics.calibration_slope(label, score))
    assert np.isnan(metrics.calibration_intercept(label, score))
    assert np.isnan(metrics.average_precision(label, score)) == (not positive)
    counts = metrics.confusion(label, score, 0.15)
    assert np.isnan(counts.sensitivity) == (not positive)
    assert np.isnan(counts.specificity) == positive


def test_no_cases_gives_nan_and_no_warning():
    label, score = np.zeros(0, bool), np.zeros(0)
    functions = [auroc, metrics.average_precision, metrics.brier, metrics.log_loss]
    for metric in [*functions, metrics.expected_calibration_error, metrics.calibration_slope]:
        assert np.isnan(metric(label, score))
