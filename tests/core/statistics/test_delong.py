import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pectl.core.statistics.delong import auc_covariance, placements

# 113 patients with aneurysmal subarachnoid haemorrhage, the 41 with a poor outcome first: ranks (equal values
# share one) of the WFNS grade, S100B and NDKA on admission; AUROCs depend on nothing else. Source: Turck,
# Intensive Care Med 36:107 (2010), the example of pROC (Robin, BMC Bioinformatics 12:77, 2011).
_N_POOR = 41

_WFNS = """
3 2 4 5 5 5 5 2 5 2 1 2 5 4 4 2 5 5 5 2 5 2 5 2 4 5 4 4 1 4 4 2 2 5 5 2 2 5 5 5 5 1 1 1 1 5 1 2 2 1
2 2 1 1 1 2 1 2 1 1 3 4 1 4 1 5 5 1 1 2 4 1 1 2 2 1 2 1 2 2 1 1 1 1 2 1 2 1 1 3 2 4 2 1 4 1 1 5 4 2
2 1 1 1 3 1 2 2 4 4 1 1 1
"""

_S100B = """
11 8 14 10 33 44 38 5 27 7 5 31 29 37 49 21 48 40 50 5 46 25 1 7 19 43 23 44 6 22 11 8 9 18 41 12 42
26 47 45 33 11 12 8 2 36 16 8 8 2 6 2 7 9 5 15 5 9 11 17 3 14 12 28 7 39 35 14 5 32 34 9 6 7 6 4 11
8 12 13 4 3 7 2 7 6 14 7 6 27 9 24 5 8 26 5 3 20 30 8 13 6 12 8 5 2 17 13 36 15 13 39 37
"""

_NDKA = """
82 61 66 78 5 28 49 97 105 98 100 38 72 90 17 25 69 2 109 87 41 48 55 70 93 63 89 24 107 76 6 33 88
7 32 99 52 73 103 50 77 1 27 23 42 8 76 9 83 67 86 79 104 31 10 56 13 11 108 62 35 36 84 4 22 14 33
65 21 74 101 18 16 58 30 19 64 95 91 39 53 106 12 80 34 43 45 75 3 81 60 30 47 85 46 54 20 37 44 96
26 57 63 102 51 59 29 94 40 71 92 15 68
"""


def _data(n=300, k=2, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.random(n) < 0.3
    scores = np.round(rng.normal(size=(k, n)) + 0.8 * label, 1)  # rounded: many ties
    return label, scores


def _brute_force(label, scores):
    """DeLong 1988, equations 4 to 6, from every pair."""
    positive, negative = scores[:, label], scores[:, ~label]
    wins = (positive[:, :, None] > negative[:, None, :]) + 0.5 * (positive[:, :, None] == negative[:, None, :])
    v10, v01 = wins.mean(axis=2), wins.mean(axis=1)
    return v10.mean(axis=1), np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]


def test_delong_equals_the_definition_over_all_pairs():
    label, scores = _data()
    result = auc_covariance(label, scores)
    auc, covariance = _brute_force(label, scores)
    np.testing.assert_allclose(result.auc, auc, atol=1e-14)
    np.testing.assert_allclose(result.covariance, covariance, atol=1e-16)
    assert result.auc[1] == pytest.approx(roc_auc_score(label, scores[1]), abs=1e-14)


def test_published_values_of_proc():
    """AUROCs, DeLong variances and a paired test that pROC prints for its example data."""
    markers = np.array([[float(rank) for rank in text.split()] for text in (_WFNS, _NDKA, _S100B)])
    result = auc_covariance(np.arange(113) < _N_POOR, markers)
    np.testing.assert_allclose(result.auc, [0.8236789, 0.6119580, 0.7313686], atol=5e-8)
    np.testing.assert_allclose(np.diag(result.covariance), [0.0014699147, 0.0031908105, 0.0026686825], atol=5e-11)
    _, z, p = result.paired_test(0, 2)
    assert z == pytest.approx(2.2089836, abs=5e-8)
    assert p == pytest.approx(0.0271758, abs=5e-8)


def test_placements_average_to_the_auroc_in_both_classes():
    label, scores = _data(seed=1)
    values = placements(label, scores[0])
    assert values[label].mean() == pytest.approx(values[~label].mean(), abs=1e-14)


def test_clusters_of_one_unit_give_delong():
    label, scores = _data(seed=2)
    alone = auc_covariance(label, scores)
    clustered = auc_covariance(label, scores, np.random.default_rng(0).permutation(label.size))
    np.testing.assert_allclose(clustered.covariance, alone.covariance, rtol=1e-9)


def test_clustered_variance_equals_obuchowski_by_loops():
    label, scores = _data(n=120, k=1, seed=3)
    cluster = np.random.default_rng(4).integers(20, size=120)
    cluster[:20] = np.arange(20)
    auc, values = roc_auc_score(label, scores[0]), placements(label, scores[0])
    n_pos, n_neg = label.sum(), (~label).sum()
    pos = [np.sum((values - auc)[label & (cluster == c)]) for c in range(20)]
    neg = [np.sum((values - auc)[~label & (cluster == c)]) for c in range(20)]
    with_pos, with_neg = np.unique(cluster[label]).size, np.unique(cluster[~label]).size
    s10 = with_pos / ((with_pos - 1) * n_pos) * np.dot(pos, pos)
    s01 = with_neg / ((with_neg - 1) * n_neg) * np.dot(neg, neg)
    s11 = 20 / 19 * np.dot(pos, neg)
    expected = s10 / n_pos + s01 / n_neg + 2 * s11 / (n_pos * n_neg)
    assert auc_covariance(label, scores, cluster).covariance[0, 0] == pytest.approx(expected, rel=1e-12)


def test_copies_of_each_unit_do_not_narrow_a_clustered_interval():
    label, scores = _data(seed=5, k=1)
    once = auc_covariance(label, scores, np.arange(300)).covariance[0, 0]
    repeated = np.repeat(np.arange(300), 10)
    tenfold = auc_covariance(label[repeated], scores[:, repeated], repeated).covariance[0, 0]
    naive = auc_covariance(label[repeated], scores[:, repeated]).covariance[0, 0]
    assert tenfold == pytest.approx(once, rel=1e-9)
    assert naive < 0.11 * once


def test_paired_test_by_hand_and_of_a_score_with_itself():
    label, scores = _data(seed=6)
    result = auc_covariance(label, scores)
    difference, z, p = result.paired_test()
    cov = result.covariance
    assert difference == pytest.approx(result.auc[0] - result.auc[1])
    assert z == pytest.approx(difference / np.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]))
    assert 0 < p < 1
    assert result.paired_test(0, 0)[0] == 0
    assert np.isnan(result.paired_test(0, 0)[1:]).all()


def test_one_cluster_shows_no_spread():
    label, scores = _data(k=1)
    assert np.isnan(auc_covariance(label, scores, np.zeros(300, int)).covariance[0, 0])
