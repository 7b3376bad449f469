import json

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from pectl.core.decisions.out_of_distribution import (
    OutOfDistribution,
    study_statistics,
    unusual_findings,
    usual_findings,
)
from pectl.core.statistics.ranking import auroc
from pectl.errors import StoreError, TrainingError


def studies(n: int, *, features: int = 5, shift: float = 0.0, seed: int = 0) -> list[np.ndarray]:
    """Studies of 4 to 9 windows whose features hang together and differ between studies."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(features, features))
    found = []
    for _ in range(n):
        own = rng.normal(size=features) + shift
        found.append(((own + 0.3 * rng.normal(size=(rng.integers(4, 10), features))) @ mixing).astype(np.float32))
    return found


def test_statistics_are_mean_and_deviation() -> None:
    features = np.array([[1.0, 2.0], [3.0, 2.0]], np.float32)
    assert study_statistics(features).tolist() == [2.0, 2.0, 1.0, 0.0]


@pytest.mark.parametrize(("n", "features"), [(40, 5), (6, 5), (30, 20)])
def test_the_distance_is_mahalanobis_under_ledoit_wolf(n: int, features: int) -> None:
    """As long as all axes are kept; scikit-learn and a plain inverse are the reference."""
    train = studies(n, features=features)
    fitted = OutOfDistribution.fit(train, studies(9, features=features, seed=1))
    table = np.stack([study_statistics(one) for one in train])
    z = (table - table.mean(0)) / table.std(0)
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(z).covariance_)
    for one in studies(5, features=features, shift=2.0, seed=2):
        place = (study_statistics(one) - table.mean(0)) / table.std(0)
        assert fitted.score(one) == pytest.approx(np.sqrt(place @ inverse @ place), rel=1e-4)


def test_with_more_statistics_than_axes_the_rest_share_their_variance() -> None:
    train = studies(300, features=100)
    fitted = OutOfDistribution.fit(train, studies(9, features=100, seed=1))
    assert fitted.axes.shape == (64, 200)
    assert fitted.axes @ fitted.axes.T == pytest.approx(np.eye(64), abs=1e-5)
    assert 0 < fitted.rest < fitted.variance.min()
    distances = [[fitted.score(one) for one in studies(60, features=100, shift=s, seed=3)] for s in (0.0, 1.5)]
    assert auroc(np.repeat([False, True], 60), np.concatenate(distances)) > 0.95


def test_the_threshold_is_the_conformal_quantile_of_validation_studies() -> None:
    train = studies(40)
    for n, rank in ((99, 95), (19, 19), (5, 5)):
        val = studies(n, seed=1)
        fitted = OutOfDistribution.fit(train, val)
        assert fitted.threshold == sorted(fitted.score(one) for one in val)[rank - 1]
        assert fitted.flag_rate == pytest.approx(1 - rank / (n + 1))
        assert sum(fitted.flag(one) for one in val) == n - rank


def test_about_as_many_new_studies_are_flagged_as_it_says() -> None:
    fitted = OutOfDistribution.fit(studies(60), studies(199, seed=1))
    flagged = np.mean([fitted.flag(one) for one in studies(1000, seed=2)])
    assert fitted.flag_rate == pytest.approx(0.05)
    assert 0.02 < flagged < 0.09


def test_it_comes_back_from_json_to_the_bit() -> None:
    fitted = OutOfDistribution.fit(studies(12), studies(5, seed=1), [["thick_slices"]] * 12)
    again = OutOfDistribution.from_json(json.loads(json.dumps(fitted.to_json())))
    assert [again.score(one) for one in studies(9, seed=2)] == [fitted.score(one) for one in studies(9, seed=2)]
    assert (again.threshold, again.usual, again.n_fit) == (fitted.threshold, ("thick_slices",), 12)


def test_a_feature_that_is_always_off_counts_once_it_is_on() -> None:
    train = [np.pad(one, ((0, 0), (0, 1))) for one in studies(20)]
    fitted = OutOfDistribution.fit(train, train[:3])
    off, on = train[0], train[0] + np.eye(6, dtype=np.float32)[5]
    assert np.isfinite(fitted.score(off))
    assert fitted.score(on) > fitted.score(off)


def test_findings_that_training_studies_have_set_nobody_apart() -> None:
    flags = [["thick_slices", "padding"]] * 2 + [["no_contrast"]] + [[]] * 37
    assert usual_findings(flags) == ("thick_slices",)
    assert usual_findings([]) == ()
    found = ("padding", "thick_slices", "no_contrast", "lungs_cut_off")
    assert unusual_findings(found) == ("no_contrast", "lungs_cut_off", "thick_slices")
    assert unusual_findings(found, ("thick_slices",)) == ("no_contrast", "lungs_cut_off")
    fitted = OutOfDistribution.fit(studies(40), studies(5, seed=1), flags)
    assert fitted.findings(found) == ("no_contrast", "lungs_cut_off")


def test_slices_further_apart_than_any_in_training_set_a_study_apart() -> None:
    flags = [["thick_slices"]] * 12
    fitted = OutOfDistribution.fit(studies(12), studies(5, seed=1), flags, largest_step_mm=4.0)
    again = OutOfDistribution.from_json(json.loads(json.dumps(fitted.to_json())))
    for judge in (fitted, again):
        assert judge.findings(["thick_slices"], 4.1) == ()
        assert judge.findings(["thick_slices"], 8.0) == ("thick_slices",)
    unknown = OutOfDistribution.fit(studies(12), studies(5, seed=1), flags)
    assert OutOfDistribution.from_json(unknown.to_json()).findings(["thick_slices"], 8.0) == ()


def test_every_such_finding_is_one_of_the_intakes_warnings() -> None:
    from pectl.core.decisions.out_of_distribution import UNUSUAL_FINDINGS
    from pectl.core.intake.findings import CODES

    assert {CODES[code][0] for code in UNUSUAL_FINDINGS} == {"warning"}


@pytest.mark.parametrize(("n_train", "n_val"), [(1, 3), (5, 0)])
def test_too_few_studies(n_train: int, n_val: int) -> None:
    with pytest.raises(
        TrainingError, match=rf"two training studies and one of validation, found {n_train} and {n_val}"
    ):
        OutOfDistribution.fit(studies(n_train), studies(n_val))


@pytest.mark.parametrize("change", [{"axes": [[1.0]]}, {"usual": None}, {"more": 1}, {"center": "far"}])
def test_another_json_is_refused(change: dict[str, object]) -> None:
    data = OutOfDistribution.fit(studies(12), studies(5, seed=1)).to_json() | change
    with pytest.raises(StoreError, match=r"ood\.json: expected a distance from training as pectl writes it"):
        OutOfDistribution.from_json(data)
