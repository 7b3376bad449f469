import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from pectl.training.penalty import PLAIN, Penalty

LOGITS = torch.tensor([-30.0, -2.0, 0.0, 0.7, 3.0, 30.0], dtype=torch.float64)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_plain_is_binary_cross_entropy(target: float) -> None:
    targets = torch.full_like(LOGITS, target)
    plain = binary_cross_entropy_with_logits(LOGITS, targets, reduction="none")
    torch.testing.assert_close(PLAIN(LOGITS, targets), plain)
    torch.testing.assert_close(Penalty(gamma=1e-12)(LOGITS, targets), plain)


def test_smoothing_by_hand() -> None:
    p = 1 / (1 + math.exp(-0.7))
    found = Penalty(smoothing=0.2)(torch.tensor([0.7, 0.7]).double(), torch.tensor([1.0, 0.0]).double())
    yes, no = -math.log(p), -math.log(1 - p)
    assert found.tolist() == pytest.approx([0.9 * yes + 0.1 * no, 0.1 * yes + 0.9 * no])


def test_smoothed_penalty_is_least_at_the_smoothed_target() -> None:
    logit = torch.tensor([0.95], dtype=torch.float64).logit().requires_grad_()
    Penalty(smoothing=0.1)(logit, torch.ones(1).double()).sum().backward()
    assert logit.grad.item() == pytest.approx(0, abs=1e-12)


def test_focal_by_hand() -> None:
    p = 1 / (1 + math.exp(-0.7))
    found = Penalty(gamma=2.0)(torch.tensor([0.7, 0.7]).double(), torch.tensor([1.0, 0.0]).double())
    assert found.tolist() == pytest.approx([-((1 - p) ** 2) * math.log(p), -(p**2) * math.log(1 - p)])


def test_focal_with_smoothing_by_hand() -> None:
    p = 1 / (1 + math.exp(-0.7))
    found = Penalty(gamma=2.0, smoothing=0.2)(torch.tensor([0.7]).double(), torch.ones(1).double())
    expected = -0.9 * (1 - p) ** 2 * math.log(p) - 0.1 * p**2 * math.log(1 - p)
    assert found.item() == pytest.approx(expected)


@pytest.mark.parametrize("penalty", [Penalty(gamma=2.0), Penalty(gamma=0.5, smoothing=0.1), Penalty(smoothing=0.3)])
def test_gradients_are_finite_at_extreme_logits(penalty: Penalty) -> None:
    logits = torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4] * 2, requires_grad=True)
    penalty(logits, torch.tensor([0.0] * 5 + [1.0] * 5)).sum().backward()
    assert logits.grad.isfinite().all()
