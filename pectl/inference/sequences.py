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
    """What stage 2 says of one study of N windows and n images; scores in [0, 1], not calibrated."""

    exam: FloatArray
    """(9,) in the order of EXAM_LABELS; those of RV/LV given PE."""
    pe: float
    """PE: neither negative nor indeterminate."""
    window: FloatArray
    """(N,) PE in each window, in the context of the study."""
    image: FloatArray
    """(n,) PE on each original slice."""


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
    return StudyScores(exam, float(pe), window, image_scores(sequence, window))


def image_scores(sequence: StudySequence, window: FloatArray) -> FloatArray:
    """Score each source slice by the least of the windows over its grid slice; 0 outside the lung box: (n,).

    A window shows PE if any of its slices does, so no slice is likelier to than the least likely window over it.
    """
    least = np.ones(int(sequence.window_start[-1]) + sequence.window_length)
    for start, value in zip(sequence.window_start, window, strict=True):
        over = slice(start, start + sequence.window_length)
        least[over] = np.minimum(least[over], value)
    index = sequence.source.grid_index
    return np.where(index >= 0, least[np.maximum(index, 0)], 0.0)
