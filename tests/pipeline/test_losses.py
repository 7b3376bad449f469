import math

import pytest
import torch

from pectl.core.data.labels import COMPETITION_WEIGHTS, EXAM_LABELS
from pectl.core.models.stage1 import WindowLogits
from pectl.pipeline.losses import exam_loss, masked_cross_entropy, window_loss

NAN = float("nan")


def bce(logit: float, target: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -math.log(p if target else 1 - p)


def test_masked_cross_entropy_by_hand() -> None:
    loss = masked_cross_entropy(torch.tensor([2.0, -1.0, 9.0]), torch.tensor([1.0, 0.0, NAN]))
    assert loss.item() == pytest.approx((bce(2, 1) + bce(-1, 0)) / 2, rel=1e-6)
    weighted = masked_cross_entropy(
        torch.tensor([2.0, -1.0, 9.0]), torch.tensor([1.0, 0.0, NAN]), torch.tensor([3.0, 1.0, 5.0])
    )
    assert weighted.item() == pytest.approx((3 * bce(2, 1) + bce(-1, 0)) / 4, rel=1e-6)


def test_nothing_known_is_zero_with_a_zero_gradient() -> None:
    logits = torch.ones(3, requires_grad=True)
    loss = masked_cross_entropy(logits, torch.full((3,), NAN))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad.tolist() == [0.0, 0.0, 0.0]


def test_exam_loss_has_the_competitions_weights_and_masks_the_undefined() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 9, requires_grad=True)
    targets = torch.tensor([[1.0, 0, 0, 1, 0, 0, 0, 1, 0], [0, 1, NAN, NAN, 0, 0, 0, 0, 0]])
    total = weight = 0.0
    for row in range(2):
        for column, name in enumerate(EXAM_LABELS):
            target = targets[row, column].item()
            if not math.isnan(target):
                total += COMPETITION_WEIGHTS[name] * bce(logits[row, column].item(), target)
                weight += COMPETITION_WEIGHTS[name]
    loss = exam_loss(logits, targets)
    assert loss.item() == pytest.approx(total / weight, rel=1e-5)
    loss.backward()
    assert (logits.grad[torch.isnan(targets)] == 0).all()
    assert logits.grad.isfinite().all()


def test_window_loss_is_that_of_any_positive_slice() -> None:
    labels = torch.tensor([[0, 0, 1, 0], [0, 0, 0, 0]], dtype=torch.int8)
    loss = window_loss(WindowLogits(torch.tensor([1.5, 0.5]), None), labels, slice_weight=7.0)
    assert loss.item() == pytest.approx((bce(1.5, 1) + bce(0.5, 0)) / 2, rel=1e-6)


def test_slices_are_judged_in_runs_and_the_unknown_are_masked() -> None:
    labels = torch.tensor([[0, 1, 0, 0, -1, 0, -1, 1]], dtype=torch.int8)  # runs: 1, 0, unknown, 1
    slices = torch.tensor([[0.3, -0.7, 50.0, 1.1]])
    loss = window_loss(WindowLogits(torch.tensor([0.2]), slices), labels, slice_weight=0.5)
    parts = (bce(0.3, 1) + bce(-0.7, 0) + bce(1.1, 1)) / 3
    assert loss.item() == pytest.approx(bce(0.2, 1) + 0.5 * parts, rel=1e-6)
