import math

import pytest
import torch
from torch import Tensor

from pectl.core.labels.names import COMPETITION_WEIGHTS, EXAM_LABELS
from pectl.core.models.stage1 import WindowLogits
from pectl.training.losses import StudyTruth, exam_sums, exam_weights, mean_loss, window_sums, window_weights

NAN = float("nan")


def bce(logit: float, target: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -math.log(p if target else 1 - p)


def window_loss(
    logits: WindowLogits,
    labels: Tensor,
    *,
    slice_weight: float,
    study: Tensor | None = None,
    multitask_weight: float = 1.0,
) -> Tensor:
    runs = 1 if logits.slices is None else logits.slices.shape[1]
    study = torch.full((len(labels), 6), NAN) if study is None else study
    sums = window_sums(logits, labels, study, slice_weight=slice_weight, multitask_weight=multitask_weight)
    return mean_loss(sums, window_weights(labels, study, runs=runs))


def exam_loss(exam: Tensor, targets: Tensor, window: Tensor, labels: Tensor, weight: float = 1.0) -> Tensor:
    truth = StudyTruth(targets, labels, torch.ones(len(targets)))
    return mean_loss(exam_sums(exam, window, truth, window_weight=weight), exam_weights(truth))


def test_windows_of_stage_2_by_hand() -> None:
    window, labels = torch.tensor([[2.0, -1.0, 9.0]]), torch.tensor([[1.0, 0.0, NAN]])
    loss = exam_loss(torch.zeros(1, 9), torch.full((1, 9), NAN), window, labels, weight=3.0)
    assert loss.item() == pytest.approx(3 * (bce(2, 1) + bce(-1, 0)) / 2, rel=1e-6)


def test_windows_weigh_as_their_study_does() -> None:
    window, labels = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), torch.tensor([[1.0, 0.0], [0.0, NAN]])
    none = torch.full((2, 9), NAN)
    for weight, expected in (
        ((0.25, 0.0), (bce(2, 1) + bce(-1, 0)) / 2),  # a study of weight 0 has no say
        ((0.25, 0.75), (0.25 * (bce(2, 1) + bce(-1, 0)) + 0.75 * bce(0.5, 0)) / 1.25),
    ):
        truth = StudyTruth(none, labels, torch.tensor(weight))
        loss = mean_loss(exam_sums(torch.zeros(2, 9), window, truth, window_weight=1.0), exam_weights(truth))
        assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_nothing_known_is_zero_with_a_zero_gradient() -> None:
    exam, window = torch.ones(2, 9, requires_grad=True), torch.ones(2, 3, requires_grad=True)
    loss = exam_loss(exam, torch.full((2, 9), NAN), window, torch.full((2, 3), NAN))
    loss.backward()
    assert loss.item() == 0.0
    assert not exam.grad.any()
    assert not window.grad.any()


def test_sums_and_weights_of_shares_add_up() -> None:
    torch.manual_seed(0)
    logits = WindowLogits(torch.randn(5), torch.randn(5, 4), torch.randn(5, 6))
    labels = torch.randint(-1, 2, (5, 8), dtype=torch.int8)
    study = torch.tensor([[0.0] * 6, [NAN] * 6, [1.0, NAN, 0.0, 1.0, NAN, 1.0], [NAN] * 5 + [0.0], [1.0] * 5 + [NAN]])
    shares = [slice(0, 2), slice(2, 5)]
    weigh = {"slice_weight": 0.5, "multitask_weight": 0.3}
    sums = [window_sums(WindowLogits(*(x[s] for x in logits[:3])), labels[s], study[s], **weigh) for s in shares]
    torch.testing.assert_close(sum(sums), window_sums(logits, labels, study, **weigh))
    assert (sum(sums) > 0).all()
    weights = [window_weights(labels[s], study[s], runs=4) for s in shares]
    assert torch.equal(sum(weights), window_weights(labels, study, runs=4))
    assert sum(weights)[2:].tolist() == [13, 3]


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
    loss = exam_loss(logits, targets, torch.zeros(2, 1), torch.full((2, 1), NAN))
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


def test_labels_of_pe_and_rv_lv_are_judged_where_they_are_known_each_by_its_own_mean() -> None:
    labels = torch.tensor([[0, 1], [0, 0], [1, 1]], dtype=torch.int8)
    study = torch.tensor([[1.0, 0.0, NAN, NAN, NAN, 0.0], [NAN] * 5 + [1.0], [NAN, NAN, 1.0, NAN, NAN, NAN]])
    heads = torch.tensor(
        [[0.4, -0.6, 9.0, 9.0, 9.0, -0.8], [9.0] * 5 + [0.9], [9.0, 9.0, 1.3, 9.0, 9.0, 9.0]], requires_grad=True
    )
    logits = WindowLogits(torch.tensor([0.2, 0.1, -0.3]), None, heads)
    loss = window_loss(logits, labels, slice_weight=0.0, study=study, multitask_weight=0.7)
    windows = (bce(0.2, 1) + bce(0.1, 0) + bce(-0.3, 1)) / 3
    kinds = (bce(0.4, 1) + bce(-0.6, 0) + bce(1.3, 1)) / 3
    ratio = (bce(-0.8, 0) + bce(0.9, 1)) / 2
    assert loss.item() == pytest.approx(windows + 0.7 * (kinds + ratio), rel=1e-6)
    loss.backward()
    assert torch.equal(heads.grad != 0, ~torch.isnan(study))


def test_a_batch_without_pe_gives_the_multitask_heads_a_zero_gradient() -> None:
    heads = torch.ones(2, 6, requires_grad=True)
    logits = WindowLogits(torch.zeros(2), None, heads)
    loss = window_loss(logits, torch.zeros(2, 4, dtype=torch.int8), slice_weight=0.0)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert torch.equal(heads.grad, torch.zeros(2, 6))
