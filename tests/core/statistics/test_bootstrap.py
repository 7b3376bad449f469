import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pectl.core.statistics.bootstrap import percentile_interval, replicate_auroc, replicate_ratio, study_weights
from pectl.core.statistics.delong import auc_covariance


def test_weights_are_draws_with_replacement():
    weights = study_weights(50, replicates=400, seed=1)
    assert weights.shape == (50, 400)
    assert (weights.sum(axis=0) == 50).all()
    assert weights.var(ddof=1) == pytest.approx(1 - 1 / 50, abs=0.03)
    np.testing.assert_array_equal(weights, study_weights(50, replicates=400, seed=1))
    assert (weights != study_weights(50, replicates=400, seed=2)).any()


@given(seed=st.integers(0, 10**6), digits=st.integers(1, 4), skill=st.floats(0, 3))
@settings(max_examples=40, deadline=None)
def test_replicates_equal_a_loop_over_scikit_learn(seed, digits, skill):
    rng = np.random.default_rng(seed)
    label = rng.random(200) < 0.3
    score = np.round(rng.random(200) + 0.2 * skill * label, digits)
    study = rng.integers(30, size=200)
    weights = study_weights(30, replicates=12, seed=seed)
    found = replicate_auroc(label, score, study, weights)
    for column, value in enumerate(found):
        expected = roc_auc_score(label, score, sample_weight=weights[study, column])
        assert value == pytest.approx(expected, abs=1e-12)


def test_more_replicates_than_a_block_and_weights_beyond_float32():
    rng = np.random.default_rng(0)
    label, score, study = rng.random(500) < 0.5, rng.random(500), rng.integers(20, size=500)
    weights = study_weights(20, replicates=300, seed=0)
    plain = replicate_auroc(label, score, study, weights)
    assert plain.shape == (300,)
    heavy = replicate_auroc(label, score, study, weights * 100_000)
    np.testing.assert_allclose(heavy, plain, atol=1e-12)


def test_a_replicate_of_one_class_is_undefined():
    label, score, study = np.array([True, False]), np.array([0.8, 0.2]), np.array([0, 1])
    weights = np.array([[1, 2, 0], [1, 0, 2]], np.float32)
    found = replicate_auroc(label, score, study, weights)
    assert found[0] == 1.0
    assert np.isnan(found[1:]).all()


def test_ratio_of_weighted_sums_by_hand():
    study = np.array([0, 0, 1])
    weights = np.array([[1, 0, 0], [1, 2, 0]], np.float32)
    found = replicate_ratio(np.array([1.0, 0.0, 1.0]), np.array([1.0, 1.0, 1.0]), study, weights)
    assert found[:2].tolist() == [2 / 3, 1.0]
    assert np.isnan(found[2])


def test_interval_agrees_with_clustered_delong():
    rng = np.random.default_rng(3)
    study = np.repeat(np.arange(300), 8)
    label = rng.random(2400) < np.repeat(rng.random(300) * 0.5, 8)
    score = rng.normal(size=2400) + label + np.repeat(rng.normal(size=300), 8)
    replicates = replicate_auroc(label, score, study, study_weights(300, replicates=2000, seed=0))
    closed = auc_covariance(label, score[None], study)
    assert replicates.std() == pytest.approx(np.sqrt(closed.covariance[0, 0]), rel=0.06)
    low, high = percentile_interval(replicates, 0.95)
    assert low < closed.auc[0] < high


def test_percentile_interval_leaves_undefined_replicates_out():
    assert percentile_interval(np.array([np.nan, 0.0, 1.0]), 0.9) == pytest.approx((0.05, 0.95))
    assert np.isnan(percentile_interval(np.array([np.nan, 0.5]), 0.9)).all()
