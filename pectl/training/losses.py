"""The losses of the two stages, as sums and the weights that these are divided by.

A loss is a sum of means. Each mean comes as a sum over the rows at hand and, apart, as the weight of what is known in
them. Sums and weights of a batch's shares add up, so that the loss is the same in however many shares it is computed.
Labels that are unknown or not defined are NaN or -1; they have no weight.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pectl.core.labels.names import COMPETITION_WEIGHTS, EXAM_LABELS, PE_LABELS, UNKNOWN
from pectl.core.models.stage1 import WindowLogits
from pectl.training.penalty import PLAIN, Penalty

WINDOW_MEANS = 4
"""Of stage 1: windows, runs of slices, labels of the PE that windows show, RV/LV."""
EXAM_MEANS = 2
"""Of stage 2: exam labels, windows."""


def mean_loss(sums: Tensor, weights: Tensor) -> Tensor:
    """Return the loss () of (means,) sums; a mean over nothing is 0."""
    return (sums / torch.where(weights > 0, weights, 1.0).to(sums)).sum()


def window_sums(
    logits: WindowLogits, slice_labels: Tensor, study: Tensor, *, slice_weight: float, multitask_weight: float
) -> Tensor:
    """Return the (WINDOW_MEANS,) sums of binary cross-entropy over windows, runs of slices, labels of PE and RV/LV.

    Args:
        logits: of B windows.
        slice_labels: (B, T) int8, -1 unknown; every window has a known label.
        study: (B, 6) MULTITASK_LABELS, NaN unknown or undefined.
        slice_weight: weight of the slices' part.
        multitask_weight: weight of the labels of PE, and again of RV/LV.
    """
    target = (slice_labels == 1).any(1).float()
    windows = F.binary_cross_entropy_with_logits(logits.window.float(), target, reduction="sum")
    slices = kinds = ratio = windows.new_zeros(())
    if logits.slices is not None:
        runs = label_runs(slice_labels, logits.slices.shape[1])  # (B, T2)
        slices = slice_weight * _known_cross_entropy(logits.slices.float(), runs).sum()
    if logits.study is not None:
        heads, answers = _kinds_and_ratio(logits.study.float()), _kinds_and_ratio(study)
        kinds, ratio = (
            multitask_weight * _known_cross_entropy(head, answer).sum()
            for head, answer in zip(heads, answers, strict=True)
        )
    return torch.stack([windows, slices, kinds, ratio])


def window_weights(slice_labels: Tensor, study: Tensor, *, runs: int) -> Tensor:
    """Return the (WINDOW_MEANS,) weights: windows, then known runs of slices (`runs` a window), labels of PE, RV/LV."""
    known = [~torch.isnan(part) for part in (label_runs(slice_labels, runs), *_kinds_and_ratio(study))]
    return torch.tensor([len(slice_labels), *(int(part.sum()) for part in known)], dtype=torch.float64)


def _kinds_and_ratio(study: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 6) MULTITASK_LABELS -> (B, 5) PE_LABELS and (B, 1) RV/LV, which more windows have."""
    return study[:, : len(PE_LABELS)], study[:, len(PE_LABELS) :]


def label_runs(slice_labels: Tensor, count: int) -> Tensor:
    """(B, T) int8 -> (B, count) float: 1 for runs with a positive slice, else NaN with an unknown one, else 0."""
    labels = slice_labels.float()
    ranked = torch.where(labels == UNKNOWN, 0.5, labels)  # positive > unknown > negative
    runs = F.adaptive_max_pool1d(ranked, count)
    return torch.where(runs == 0.5, torch.nan, runs)


class StudyTruth(NamedTuple):
    """What is known of B studies of up to N windows."""

    exam: Tensor
    """(B, 9) labels, NaN unknown or undefined."""
    window: Tensor
    """(B, N) labels, NaN unknown or padding."""
    weight: Tensor
    """(B,) weight of each of a study's windows."""


def exam_sums(
    exam: Tensor, window: Tensor, truth: StudyTruth, *, window_weight: float, penalty: Penalty = PLAIN
) -> Tensor:
    """Return the (EXAM_MEANS,) sums of penalties over exam labels, weighted as in the competition, and over windows.

    Args:
        exam: (B, 9) logits.
        window: (B, N) logits.
        truth: of these studies.
        window_weight: weight of the windows' part.
        penalty: of each answer.
    """
    known, there = ~torch.isnan(truth.exam), ~torch.isnan(truth.window)
    exams = penalty(exam.float()[known], truth.exam[known]) * _label_weights(truth.exam)[known]
    windows = penalty(window.float()[there], truth.window[there]) * _each_window(truth)[there]
    return torch.stack([exams.sum(), window_weight * windows.sum()])


def exam_weights(truth: StudyTruth) -> Tensor:
    """Return the (EXAM_MEANS,) weights of what is known: of exam labels and of windows."""
    exams = _label_weights(truth.exam)[~torch.isnan(truth.exam)].double().sum()
    windows = _each_window(truth)[~torch.isnan(truth.window)].double().sum()
    return torch.stack([exams, windows]).cpu()


def _each_window(truth: StudyTruth) -> Tensor:
    """Return the weights of all windows: (B, N)."""
    return truth.weight.unsqueeze(1).expand_as(truth.window)


def _label_weights(targets: Tensor) -> Tensor:
    return targets.new_tensor([COMPETITION_WEIGHTS[name] for name in EXAM_LABELS]).expand_as(targets)


def _known_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of each target that isn't NaN."""
    known = ~torch.isnan(targets)
    return F.binary_cross_entropy_with_logits(logits[known], targets[known], reduction="none")
