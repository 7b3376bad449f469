"""The losses of the two stages. Labels that are unknown or not defined are NaN, and masked."""

import torch
from torch import Tensor
from torch.nn import functional as F

from pectl.core.data.labels import COMPETITION_WEIGHTS, EXAM_LABELS, UNKNOWN
from pectl.core.models.stage1 import WindowLogits


def window_loss(logits: WindowLogits, slice_labels: Tensor, *, slice_weight: float) -> Tensor:
    """Mean binary cross-entropy of the windows, plus that of their runs of slices.

    Args:
        logits: of B windows.
        slice_labels: (B, T) int8, -1 unknown; every window has a known label.
        slice_weight: weight of the slices' part.
    """
    labels = slice_labels.float()
    loss = F.binary_cross_entropy_with_logits(logits.window, (labels == 1).any(1).float())
    if logits.slices is None:
        return loss
    ranked = torch.where(labels == UNKNOWN, 0.5, labels)  # in a run: positive > unknown > negative
    runs = F.adaptive_max_pool1d(ranked, logits.slices.shape[1])  # (B, T2)
    known = runs != 0.5
    return loss + slice_weight * F.binary_cross_entropy_with_logits(logits.slices[known], runs[known])


def exam_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of (B, 9) logits with the competition's weights; NaN targets are left out."""
    weights = logits.new_tensor([COMPETITION_WEIGHTS[name] for name in EXAM_LABELS]).expand_as(logits)
    return masked_cross_entropy(logits, targets, weights)


def masked_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Weighted mean binary cross-entropy over the targets that aren't NaN; 0 if there are none."""
    known = ~torch.isnan(targets)
    if not known.any():
        return logits.sum() * 0.0
    losses = F.binary_cross_entropy_with_logits(logits[known], targets[known], reduction="none")
    if weights is None:
        return losses.mean()
    return (losses * weights[known]).sum() / weights[known].sum()
