"""Studies through stage 2, each by itself: a study's answers don't depend on which others are asked for."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pectl.core.batches.sequences import collate
from pectl.core.stores.feature_store import StudySequence

FloatArray = NDArray[np.float64]


class StudyScores(NamedTuple):
    """What is said of one study of N windows and n images; scores in [0, 1], not calibrated."""

    exam: FloatArray
    """(9,) in the order of EXAM_LABELS; those of RV/LV given PE, and they sum to one."""
    pe: float
    """PE: neither negative nor indeterminate."""
    window: FloatArray
    """(N,) PE in each window, in the context of the study."""
    image_logits: FloatArray
    """(n, 2) of each original slice, see `image_logits`."""


def score_studies(model: nn.Module, sequences: Iterable[StudySequence]) -> Iterator[StudyScores]:
    """Yield what a sequence classifier says of studies."""
    model.eval()
    for sequence in sequences:
        yield score_study(model, sequence)


@torch.inference_mode()
def score_study(model: nn.Module, sequence: StudySequence) -> StudyScores:
    """Apply a sequence classifier, in evaluation mode, to one study."""
    device = next(model.parameters()).device
    out = model(*(part.to(device) for part in collate([sequence]).inputs()))
    exam, pe, window = (part[0].sigmoid().cpu().numpy().astype(np.float64) for part in (out.exam, out.pe, out.window))
    context = out.window[0].cpu().numpy().astype(np.float64)
    return StudyScores(exam, float(pe), window, image_logits(sequence, context))


def image_logits(sequence: StudySequence, context: FloatArray) -> FloatArray:
    """Return what tells of PE on each of n original slices: (n, 2); -inf outside the lung box.

    First stage 1's logit of its grid slice; then the mean of stage 2's over the windows that cover that.

    Args:
        sequence: the study.
        context: (N,) logits of its windows by stage 2.
    """
    over = sequence.window_start[:, None] + np.arange(sequence.window_length)  # (N, T)
    total, count = np.zeros(len(sequence.slice_logit)), np.zeros(len(sequence.slice_logit))
    np.add.at(total, over, context[:, None])
    np.add.at(count, over, 1)
    grid = np.stack([sequence.slice_logit.astype(np.float64), total / count], axis=1)  # (D, 2)
    index = sequence.source.grid_index
    return np.where(index[:, None] >= 0, grid[np.maximum(index, 0)], -np.inf)
