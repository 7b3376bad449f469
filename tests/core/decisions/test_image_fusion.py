"""The score of an image from its two logits: against numbers worked out by hand, and scikit-learn's regression."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pectl.core.decisions.image_fusion import ImageFusion, fit_image_fusion

OUTSIDE = (-np.inf, -np.inf)


def images(n: int = 3000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of which one in seven shows PE; both logits tell of it, shifted and on scales of their own."""
    rng = np.random.default_rng(seed)
    label = rng.random(n) < 1 / 7
    slices = 2.0 * label - 3.0 + rng.normal(size=n)
    return label, np.stack([slices, 3.0 * label + 0.4 * slices + rng.normal(scale=2.0, size=n)], axis=1)


def test_a_score_is_the_logistic_function_of_both_logits() -> None:
    fusion = ImageFusion("logistic", slice_weight=2.0, context_weight=0.5, intercept=-1.0)
    found = fusion.apply(np.array([[1.0, 2.0], [0.0, 2.0], [-0.5, 4.0], OUTSIDE]))
    assert found == pytest.approx([np.e**2 / (1 + np.e**2), 0.5, 0.5, 0.0], abs=1e-15)  # logits 2, 0, 0
    assert found[3] == 0


def test_unfitted_it_is_the_mean_of_the_logits() -> None:
    assert ImageFusion().apply(np.array([[3.0, -1.0], [1.0, -1.0]])) == pytest.approx([1 / (1 + np.exp(-1)), 0.5])


def test_the_fit_is_that_of_scikit_learn() -> None:
    """Targets of Platt between 0 and 1: each image twice, as positive and as negative, weighted by its target."""
    label, logits = images()
    positive = int(label.sum())
    target = np.where(label, (positive + 1) / (positive + 2), 1 / (label.size - positive + 2))
    twice = np.concatenate([logits, logits])
    classes = np.repeat([True, False], label.size)
    reference = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000)
    reference.fit(twice, classes, sample_weight=np.concatenate([target, 1 - target]))
    found = fit_image_fusion(label, logits)
    assert (found.kind, found.reason) == ("logistic", None)
    wanted = [*reference.coef_[0], reference.intercept_[0]]
    assert [found.slice_weight, found.context_weight, found.intercept] == pytest.approx(wanted, abs=2e-6)
    assert min(wanted[:2]) > 0.1
    assert found.apply(logits) == pytest.approx(reference.predict_proba(logits)[:, 1], abs=1e-5)


def test_four_images_by_hand() -> None:
    """Positive images at 1 and negative at -1, of either logit: targets 3/4 and 1/4, so the weights sum to log 3."""
    logits = np.array([[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [-1.0, -1.0]])
    found = fit_image_fusion(np.array([True, True, False, False]), logits)
    assert found.slice_weight + found.context_weight == pytest.approx(np.log(3), abs=2e-6)
    assert found.intercept == 0
    assert found.apply(logits) == pytest.approx([0.75, 0.75, 0.25, 0.25], abs=1e-6)


def test_a_logit_that_is_lower_where_there_is_pe_is_left_out() -> None:
    label, logits = images()
    logits[:, 1] *= -1
    found = fit_image_fusion(label, logits)
    assert found.context_weight == 0
    alone = LogisticRegression(C=np.inf, tol=1e-10).fit(logits[:, :1], label)
    assert found.slice_weight == pytest.approx(alone.coef_[0, 0], rel=0.01)


@pytest.mark.parametrize(("n_positive", "n"), [(0, 5), (5, 5), (0, 0)])
def test_one_class_gives_the_mean_and_says_why(n_positive: int, n: int) -> None:
    label = np.arange(n) < n_positive
    found = fit_image_fusion(label, np.zeros((n, 2)))
    assert found == ImageFusion(reason=f"not fitted: {n_positive} of {n} validation images are positive")
    assert found.kind == "mean"


def test_logits_that_are_lower_where_there_is_pe_give_the_mean_and_say_why() -> None:
    label, logits = images()
    found = fit_image_fusion(label, -logits)
    assert found == ImageFusion(reason="not fitted: neither logit is higher in positive images")


def test_an_image_has_the_same_bits_among_others_and_alone() -> None:
    label, logits = images(997)
    logits[::10] = OUTSIDE
    fusion = ImageFusion("logistic", 0.984, 0.406, -0.909)
    alone = [fusion.apply(logits[place : place + 1])[0] for place in range(len(label))]
    assert np.array_equal(fusion.apply(logits), alone)
    assert (fusion.apply(logits)[::10] == 0).all()


def test_what_is_not_a_number_does_not_pass_for_outside() -> None:
    assert np.isnan(ImageFusion().apply(np.array([[np.nan, 0.0]]))[0])


def test_json_keeps_every_number() -> None:
    fitted = fit_image_fusion(*images(200))
    assert ImageFusion.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted


def test_a_weight_has_a_bound() -> None:
    """Logits of a network that has learnt nothing differ in their last digits, which happen to part the classes."""
    logits = np.array([[1e-6, 0.0], [0.0, 0.0]])
    found = fit_image_fusion(np.array([True, False]), logits)
    assert found.slice_weight == 54.59815
