import numpy as np
import pytest
from scipy.stats import binomtest

from pectl.core.statistics.intervals import newcombe, newcombe_paired, wald, wilson


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (812, 1000)])
def test_wilson_equals_scipy(hits, n):
    expected = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert wilson(hits, n, 0.95) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_is_undefined():
    assert np.isnan(wilson(0, 0, 0.95)).all()


def test_wald_by_hand_and_cut_at_one():
    assert wald(0.8, 0.01, 0.95) == pytest.approx((0.8 - 0.1959964, 0.9959964))
    assert wald(0.9, 0.01, 0.95)[1] == 1.0
    assert np.isnan(wald(0.9, np.nan, 0.95)).all()


def test_newcombe_has_a_width_where_the_classes_are_separated():
    low, high = newcombe(1.0, 10, 20, 0.95)
    assert high == 1.0
    assert 0.8 < low < 0.95
    mirrored = newcombe(0.0, 10, 20, 0.95)
    assert mirrored == pytest.approx((0.0, 1 - low))


def test_newcombe_bounds_lie_z_standard_errors_away():
    low, high = newcombe(0.8, 30, 50, 0.95)
    for bound in (low, high):
        spread = 1 + 39 * ((1 - bound) / (2 - bound) + bound / (1 + bound))
        error = np.sqrt(bound * (1 - bound) * spread / 1500)
        assert abs(0.8 - bound) / error == pytest.approx(1.959964, abs=1e-5)


def test_newcombe_paired_of_a_published_table():
    """Bentur et al. 2009 in Fagerland, Lydersen and Laake 2017, table 8.2: -0.507 to -0.026."""
    assert newcombe_paired(1, 1, 7, 12, 0.95) == pytest.approx((-0.507, -0.026), abs=5e-4)


def test_newcombe_paired_is_antisymmetric_and_has_a_width_where_all_agree():
    low, high = newcombe_paired(3, 9, 2, 6, 0.9)
    assert newcombe_paired(3, 2, 9, 6, 0.9) == pytest.approx((-high, -low))
    low, high = newcombe_paired(0, 5, 0, 0, 0.95)
    assert low == pytest.approx(1 - np.hypot(1 - wilson(5, 5, 0.95)[0], wilson(0, 5, 0.95)[1]))
    assert high == 1.0
    assert np.isnan(newcombe_paired(0, 0, 0, 0, 0.95)).all()
