import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_auc_score, roc_curve

from pectl.core.statistics.curves import GRID, curves


def _data(n=150, seed=0, digits=3):
    rng = np.random.default_rng(seed)
    label = rng.random(n) < 0.4
    return label, np.round(rng.normal(size=n) + label, digits)


@pytest.mark.parametrize("digits", [0, 3])
def test_lines_are_those_of_scikit_learn(digits):
    label, score = _data(digits=digits)
    found = curves(label, score)
    false_rate, true_rate, _ = roc_curve(label, score, drop_intermediate=False)
    np.testing.assert_allclose(found.roc.x, false_rate)
    np.testing.assert_allclose(found.roc.y, true_rate)
    precision, recall, _ = precision_recall_curve(label, score)
    np.testing.assert_allclose(found.precision_recall.x, recall[::-1][1:])
    np.testing.assert_allclose(found.precision_recall.y, precision[::-1][1:])


def test_a_long_line_is_thinned_without_losing_its_area():
    label, score = _data(n=20_000)
    roc = curves(label, score, replicates=5).roc
    assert roc.x.size <= 400
    assert (roc.x[[0, -1]].tolist(), roc.y[[0, -1]].tolist()) == ([0, 1], [0, 1])
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(roc_auc_score(label, score), abs=2e-3)


def test_bands_hold_the_line_and_widen_with_clusters():
    study = np.repeat(np.arange(100), 20)
    label = (np.arange(100) % 2 == 0)[study]
    rng = np.random.default_rng(1)
    score = rng.normal(size=2000) + label + rng.normal(size=100)[study]
    single, clustered = curves(label, score), curves(label, score, study)
    middle = np.interp(GRID, single.roc.x, single.roc.y)
    assert (single.roc.low[5:95] <= middle[5:95]).all()
    assert (single.roc.high[5:95] >= middle[5:95]).all()
    assert np.mean(clustered.roc.high - clustered.roc.low) > 2 * np.mean(single.roc.high - single.roc.low)
    band = single.precision_recall
    assert np.isnan(band.low[0])
    assert (band.low[1:] <= band.high[1:]).all()


def test_one_class_has_no_curves():
    assert curves(np.ones(4, bool), np.arange(4.0)) is None


def test_replicates_of_one_class_only_leave_an_undefined_band():
    label, score = np.array([True, False]), np.array([0.8, 0.2])
    found = curves(label, score, np.array([0, 1]), replicates=1, seed=_seed_of_one_class())
    assert np.isnan(found.roc.low).all()
    assert found.roc.y.tolist() == [0, 1, 1]


def _seed_of_one_class():
    from pectl.core.statistics.bootstrap import study_weights

    return next(s for s in range(100) if study_weights(2, replicates=1, seed=s).max() == 2)
