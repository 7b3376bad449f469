import math

import numpy as np
import pytest
import torch

from pectl.core.decisions.consistency import PATTERNS
from pectl.core.labels.names import EXAM_LABELS
from pectl.core.models.exam_heads import EXAM_HEADS, LOCATIONS, HierarchicalHead, IndependentHead, with_one_ratio

NEGATIVE, INDETERMINATE, CHRONIC, BOTH, CENTRAL, LEFT, RIGHT, LARGE, SMALL = range(9)


def head(pattern: list[float] | None = None) -> HierarchicalHead:
    made = HierarchicalHead(2).double()
    made.pattern.data += torch.tensor(pattern or [0.0] * 7, dtype=torch.float64)
    return made


def energies(**named: float) -> torch.Tensor:
    return torch.tensor([[named.get(name, 0.0) for name in EXAM_LABELS]], dtype=torch.float64)


def test_by_hand() -> None:
    """Exam types 2 : 1 : 5, age 1 : 3 : 4, locations as products of 2, 1, 1/2 with both lungs counted three times."""
    weights = {
        "negative_exam_for_pe": 2 / 5,
        "indeterminate": 1 / 5,
        "chronic_pe": 3,
        "acute_and_chronic_pe": 4,
        "central_pe": 2,
        "leftsided_pe": 1,
        "rightsided_pe": 0.5,
        "rv_lv_ratio_gte_1": 6,
        "rv_lv_ratio_lt_1": 2,
    }
    out = head([0, 0, 0, 0, 0, math.log(3), 0]).answer(
        energies(**{name: math.log(value) for name, value in weights.items()})
    )
    #      c, l, r, cl, cr, lr, clr
    mass = [2, 1, 0.5, 2, 1, 1.5, 1]
    total = sum(mass)
    pe = 5 / 8
    expected = [
        2 / 8,
        1 / 8,
        pe * 3 / 8,
        pe * 4 / 8,
        pe * (2 + 2 + 1 + 1) / total,
        pe * (1 + 2 + 1.5 + 1) / total,
        pe * (0.5 + 1 + 1.5 + 1) / total,
        6 / 8,
        2 / 8,
    ]
    assert out.exam.sigmoid()[0].tolist() == pytest.approx(expected, rel=1e-9)
    assert out.pe.sigmoid().item() == pytest.approx(pe, rel=1e-9)


def test_locations_are_the_seven_that_the_rules_allow() -> None:
    positive = PATTERNS[~PATTERNS[:, :2].any(axis=1)]
    assert set(LOCATIONS) == {tuple(row) for row in positive[:, [CENTRAL, LEFT, RIGHT]].astype(int).tolist()}


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda row: "".join("01"[int(bit)] for bit in row))
def test_every_allowed_pattern_can_be_said_for_sure(pattern: np.ndarray) -> None:
    energy = torch.where(torch.tensor(pattern), 60.0, -60.0).double()[None]
    out = head().answer(energy)
    assert out.exam.sigmoid()[0, :7].tolist() == pytest.approx(pattern[:7].astype(float), abs=1e-12)
    has_pe = not pattern[:2].any()
    assert out.pe.sigmoid().item() == pytest.approx(float(has_pe), abs=1e-12)
    if has_pe:  # RV/LV is given PE
        assert out.exam.sigmoid()[0, 7:].tolist() == pytest.approx(pattern[7:].astype(float), abs=1e-12)


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
def test_probabilities_obey_the_rules(scale: float) -> None:
    torch.manual_seed(0)
    made = head()
    made.pattern.data.normal_()
    out = made.answer(scale * torch.randn(500, 9).double())
    p, pe = out.exam.sigmoid(), out.pe.sigmoid()
    torch.testing.assert_close(p[:, NEGATIVE] + p[:, INDETERMINATE] + pe, torch.ones(500).double())
    torch.testing.assert_close(p[:, LARGE] + p[:, SMALL], torch.ones(500).double())
    tiny = 1e-12
    assert (p[:, CENTRAL : RIGHT + 1] <= pe[:, None] + tiny).all()
    assert (p[:, CENTRAL : RIGHT + 1].sum(1) >= pe - tiny).all()
    assert (p[:, CHRONIC] + p[:, BOTH] <= pe + tiny).all()


@torch.inference_mode()
def test_logits_are_exact_where_probabilities_are_not() -> None:
    """float32 knows no probability between 1 - 6e-8 and 1, and e^-200 is 0 in it."""
    made = HierarchicalHead(2)
    out = made.answer(energies(negative_exam_for_pe=200.0, indeterminate=-200.0, leftsided_pe=50.0).float())
    assert out.pe.item() == -200.0
    assert out.exam[0, NEGATIVE].item() == pytest.approx(200.0)
    assert out.exam[0, LEFT].item() == pytest.approx(-200.0)
    out = made.answer(energies(negative_exam_for_pe=-40.0, indeterminate=-40.0, leftsided_pe=30.0).float())
    with_left, without = 4, 3  # patterns
    assert out.exam[0, LEFT].item() == pytest.approx(30.0 + math.log(with_left / without), abs=1e-3)
    assert out.exam[0, INDETERMINATE].item() == pytest.approx(-40.0)


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
def test_gradients_are_finite_and_no_label_is_left_without(scale: float) -> None:
    torch.manual_seed(0)
    energy = (scale * torch.randn(200, 9)).requires_grad_()
    made = HierarchicalHead(2)
    out = made.answer(energy)
    targets = torch.randint(0, 2, (200, 9)).float()
    torch.nn.functional.binary_cross_entropy_with_logits(out.exam, targets).backward()
    assert energy.grad.isfinite().all()
    assert made.pattern.grad.isfinite().all()
    assert (energy.grad != 0).any(0).all()


def test_independent_labels_and_pe_as_their_product() -> None:
    torch.manual_seed(0)
    made = IndependentHead(4).double()
    pooled = torch.randn(3, 9, 4).double()
    out = made(pooled)
    torch.testing.assert_close(out.exam[:, 5], pooled[:, 5] @ made.label.weight[5] + made.label.bias[5])
    p = out.exam.sigmoid()
    torch.testing.assert_close(out.pe.sigmoid(), (1 - p[:, 0]) * (1 - p[:, 1]))


@pytest.mark.parametrize("name", EXAM_HEADS)
def test_gradients_through_a_whole_head_are_right(name: str) -> None:
    torch.manual_seed(0)
    made = EXAM_HEADS[name](3).double()
    assert torch.autograd.gradcheck(lambda pooled: tuple(made(pooled)), torch.randn(2, 9, 3).double().requires_grad_())


def test_two_rv_lv_answers_become_one_by_hand() -> None:
    """0.48 for a wide ventricle, 0.32 for none: the odds of 12/13 and of 17/8 that it isn't narrow make sqrt(51/26)."""
    said = torch.tensor([[0.1] * 7 + [0.48, 0.32]], dtype=torch.float64).logit()
    found = with_one_ratio(said)
    odds = math.sqrt(51 / 26)
    assert found.sigmoid()[0, 7:].tolist() == pytest.approx([odds / (1 + odds), 1 / (1 + odds)], rel=1e-12)
    assert found.sigmoid()[0, LARGE].item() == pytest.approx(0.583429, abs=1e-6)
    assert found[:, :LARGE].equal(said[:, :LARGE])
    assert with_one_ratio(found).equal(found)


def test_one_answer_of_the_hierarchical_head_stays() -> None:
    torch.manual_seed(0)
    exam = head().answer(3 * torch.randn(20, 9).double()).exam
    assert with_one_ratio(exam).equal(exam)
