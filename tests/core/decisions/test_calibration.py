import json

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from pectl.core.decisions.calibration import Calibrator, fit_calibrator
from pectl.core.statistics.logistic import logits, sigmoid


def _overconfident(n=4000, temperature=2.5, seed=0):
    rng = np.random.default_rng(seed)
    logit = rng.normal(size=n)
    label = rng.random(n) < sigmoid(logit)
    return label, sigmoid(temperature * logit)


def test_temperature_is_recovered_and_keeps_the_order():
    label, score = _overconfident()
    calibrator = fit_calibrator(label, score, "temperature")
    assert calibrator.temperature == pytest.approx(2.5, rel=0.1)
    calibrated = calibrator.apply(score)
    assert (np.argsort(calibrated, kind="stable") == np.argsort(score, kind="stable")).all()
    assert calibrator.apply(np.array([0.5]))[0] == 0.5


def test_temperature_is_where_log_loss_is_least():
    label, score = _overconfident(n=300)
    best = fit_calibrator(label, score, "temperature").temperature

    n = label.sum()
    target = np.where(label, (n + 1) / (n + 2), 1 / (300 - n + 2))

    def loss(temperature):
        p = sigmoid(logits(score) / temperature)
        return -np.mean(target * np.log(p) + (1 - target) * np.log(1 - p))

    assert loss(best) <= min(loss(best * 1.01), loss(best / 1.01))


def test_isotonic_equals_scikit_learn_up_to_the_margin():
    rng = np.random.default_rng(1)
    score = np.round(rng.random(300), 2)
    label = rng.random(300) < score**2
    calibrator = fit_calibrator(label, score, "isotonic")
    reference = IsotonicRegression(out_of_bounds="clip").fit(score, label)
    grid = np.unique(score)
    expected = np.clip(reference.predict(grid), 1 / 302, 1 - 1 / 302)
    np.testing.assert_allclose(calibrator.apply(grid), expected, atol=1e-12)
    assert calibrator.apply(np.array([0.0, 1.0])).tolist() == [
        calibrator.knots_probability[0],
        calibrator.knots_probability[-1],
    ]


def test_isotonic_of_a_separating_score_is_never_certain():
    calibrator = fit_calibrator(np.array([False, False, True, True]), np.array([0.1, 0.2, 0.6, 0.7]), "isotonic")
    assert calibrator.apply(np.array([0.1, 0.7])).tolist() == pytest.approx([1 / 6, 5 / 6])


def test_temperature_of_a_separating_score_is_never_certain():
    label, score = np.repeat([False, True], 4), np.repeat([0.3, 0.7], 4)
    calibrated = fit_calibrator(label, score, "temperature").apply(score)
    assert calibrated == pytest.approx(np.where(label, 5 / 6, 1 / 6), abs=1e-5)  # one more case of either kind
    surer = fit_calibrator(label, np.where(label, 0.999, 0.001), "temperature").apply(np.array([0.001, 0.999]))
    assert surer == pytest.approx([1 / 6, 5 / 6], abs=1e-5)


@pytest.mark.parametrize("kind", ["temperature", "platt", "isotonic"])
def test_one_class_leaves_scores_alone_and_says_why(kind):
    calibrator = fit_calibrator(np.zeros(5, bool), np.linspace(0, 1, 5), kind)
    assert calibrator.reason == "not fitted: 0 of 5 validation cases are positive"
    assert calibrator.apply(np.array([0.0, 0.3, 1.0])).tolist() == [0.0, 0.3, 1.0]


def test_none_asks_for_no_calibration():
    assert fit_calibrator(np.array([True, False]), np.array([0.9, 0.1]), "none") == Calibrator()


@pytest.mark.parametrize("kind", ["temperature", "platt", "isotonic", "none"])
def test_json_keeps_every_number(kind):
    calibrator = fit_calibrator(*_overconfident(n=50), kind)
    assert Calibrator.from_json(json.loads(json.dumps(calibrator.to_json()))) == calibrator


def test_sigmoid_and_logits_at_the_ends():
    assert sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist() == [0.0, 0.5, 1.0]
    assert np.isfinite(logits(np.array([0.0, 1.0]))).all()
    assert sigmoid(logits(np.array([0.2, 0.9]))) == pytest.approx([0.2, 0.9])


def test_a_temperature_that_scores_do_not_fit_is_not_called_fitted():
    """Scores that rank well, all far below 0.5, which the largest temperature moves to 0.5, all of them."""
    rng = np.random.default_rng(0)
    logit = rng.normal(size=4000) + 0.5
    label, score = rng.random(4000) < sigmoid(logit), sigmoid(2.5 * logit - 9.0)
    calibrator = fit_calibrator(label, score, "temperature")
    assert calibrator.reason == (
        "not fitted: the temperature ends at its bound of 54.6, which makes all probabilities alike: the scores are "
        "shifted, or rank by chance; set evaluate.calibration = 'platt' or 'isotonic'"
    )
    assert (calibrator.kind, calibrator.apply(score).tolist()) == ("identity", score.tolist())


def test_platt_takes_an_offset_away_and_equals_a_logistic_regression():
    label, score = _overconfident()
    plain, shifted = (fit_calibrator(label, s, "platt") for s in (score, sigmoid(logits(score) - 4.0)))
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(logits(score)[:, None], label)
    assert 1 / plain.temperature == pytest.approx(reference.coef_[0, 0], rel=0.01)
    assert plain.intercept == pytest.approx(reference.intercept_[0], abs=0.01)
    assert shifted.temperature == pytest.approx(plain.temperature, rel=1e-3)
    assert shifted.intercept == pytest.approx(plain.intercept + 4.0 / plain.temperature, rel=1e-2)
    assert shifted.apply(sigmoid(logits(score) - 4.0)) == pytest.approx(plain.apply(score), abs=1e-3)


def test_platt_says_so_where_the_scores_rank_the_wrong_way():
    label, score = _overconfident()
    calibrator = fit_calibrator(~label, score, "platt")
    assert calibrator.reason == (
        "not fitted: the temperature ends at its bound of 54.6, which makes all probabilities alike: the scores are in "
        "no order, or the wrong one; set evaluate.calibration = 'isotonic'"
    )
    assert calibrator.kind == "identity"


def test_a_calibrator_of_an_earlier_version_has_no_intercept():
    data = Calibrator("temperature", temperature=2.0).to_json()
    del data["intercept"]
    assert Calibrator.from_json(data).apply(np.array([0.5]))[0] == 0.5
