"""The loss of places against sums made by hand."""

import math

import pytest
import torch

from pectl.core.batches.places import AS_BOX, AS_MASK, NOT_MARKED
from pectl.training.losses import mean_loss
from pectl.training.place_loss import place_sums, place_weights

PLACES = torch.tensor([[[[0.5, -1.0], [2.0, 0.0]], [[1.0, 3.0], [-2.0, -0.5]]]])
"""Logits of a window of two runs with four places each."""


def with_pe(logit: float) -> float:
    return math.log(1 + math.exp(-logit))


def without(logit: float) -> float:
    return math.log(1 + math.exp(logit))


def marked(*pixels: tuple[int, int, int]) -> torch.Tensor:
    """A window of 4 slices of 4 x 4 pixels, so that a run is two slices and a place 2 x 2 pixels."""
    embolus = torch.zeros(1, 4, 4, 4, dtype=torch.bool)
    for pixel in pixels:
        embolus[(0, *pixel)] = True
    return embolus


def test_a_place_that_a_mask_touches_has_an_embolus_and_every_other_has_none() -> None:
    embolus, labels = (
        marked((1, 0, 3), (2, 3, 0)),
        torch.zeros(1, 4, dtype=torch.int8),
    )  # run 0 above right, run 1 below left
    with_embolus, free = place_sums(PLACES, labels, embolus, torch.tensor([AS_MASK], dtype=torch.int8)).tolist()
    assert with_embolus == pytest.approx((with_pe(-1.0) + with_pe(-2.0)) / 2)
    assert free == pytest.approx(sum(map(without, (0.5, 2.0, 0.0, 1.0, 3.0, -0.5))) / 6)


def test_boxes_say_that_one_of_their_places_has_an_embolus_and_nothing_of_what_lies_beside() -> None:
    embolus = marked((0, 0, 0), (0, 0, 3), (1, 3, 1))  # all of run 0 but the last place
    labels = torch.tensor([[1, 1, 0, 0]], dtype=torch.int8)
    with_embolus, free = place_sums(PLACES, labels, embolus, torch.tensor([AS_BOX], dtype=torch.int8)).tolist()
    bag = math.log(sum(map(math.exp, (0.5, -1.0, 2.0))) / 3)
    assert with_embolus == pytest.approx(with_pe(bag))
    assert free == pytest.approx(sum(map(without, (1.0, 3.0, -2.0, -0.5))) / 4)  # run 1, labelled as without
    unknown = torch.tensor([[1, 1, 0, -1]], dtype=torch.int8)
    assert place_sums(PLACES, unknown, embolus, torch.tensor([AS_BOX], dtype=torch.int8))[1] == 0


def test_a_study_that_is_not_marked_says_nothing() -> None:
    how = torch.tensor([NOT_MARKED], dtype=torch.int8)
    labels = torch.zeros(1, 4, dtype=torch.int8)
    assert place_sums(PLACES, labels, marked(), how).tolist() == [0, 0]
    assert place_weights(labels, marked(), how, runs=2).tolist() == [0, 0]


def test_a_pixel_moved_by_half_a_pixel_both_ways_still_marks_its_place() -> None:
    embolus = torch.zeros(1, 4, 4, 4)
    embolus[0, 1, 0:2, 0:2] = 0.25
    with_embolus, _ = place_sums(PLACES, torch.zeros(1, 4), embolus, torch.tensor([AS_MASK])).tolist()
    assert with_embolus == pytest.approx(with_pe(0.5))


def test_small_and_large_emboli_weigh_alike_and_shares_of_a_batch_add_up() -> None:
    torch.manual_seed(0)
    places = torch.randn(5, 2, 2, 2, requires_grad=True)
    embolus = torch.cat(
        [marked((0, 0, 0)), marked(*[(0, h, w) for h in range(4) for w in range(4)]), *3 * [marked((2, 1, 1))]]
    )
    embolus[4] = False
    how = torch.tensor([AS_MASK, AS_MASK, AS_BOX, NOT_MARKED, AS_MASK], dtype=torch.int8)
    labels = torch.tensor([[1, 1, 0, 0]] * 2 + [[0, 0, 1, 1]] * 2 + [[0] * 4], dtype=torch.int8)
    sums, weights = place_sums(places, labels, embolus, how), place_weights(labels, embolus, how, runs=2)
    assert weights.tolist() == [3, 4]  # marked as masks or boxes; all masks, and the box's run that is without PE
    parts = [slice(0, 2), slice(2, 5)]
    torch.testing.assert_close(sum(place_sums(places[s], labels[s], embolus[s], how[s]) for s in parts), sums)
    assert torch.equal(sum(place_weights(labels[s], embolus[s], how[s], runs=2) for s in parts), weights)
    mean_loss(sums, weights).backward()
    pulled = -places.grad.clamp(max=0).flatten(1).sum(1)  # towards an embolus
    assert (pulled[:3] > 0).all()
    assert pulled[3:].tolist() == [0, 0]
    assert places.grad[3].abs().sum() == 0
    assert places.grad.isfinite().all()


def test_nothing_to_learn_is_zero() -> None:
    labels = torch.zeros(2, 4, dtype=torch.int8)
    assert place_sums(None, labels).tolist() == place_sums(PLACES, labels).tolist() == [0, 0]
    assert place_weights(labels, runs=2).tolist() == [0, 0]
