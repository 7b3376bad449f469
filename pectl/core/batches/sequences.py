"""Studies of different length in one batch: padded at the end, with a mask of what is real."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from pectl.core.batches.windows import window_places
from pectl.core.labels.names import UNKNOWN
from pectl.core.stores.feature_store import StudySequence

BATCH = 64
"""Studies that stage 2 judges at once."""


class SequenceBatch(NamedTuple):
    """B studies of up to N windows; padding is 0, and false in `mask`."""

    features: Tensor
    """(B, N, F) float32."""
    window_logit: Tensor
    """(B, N) float32, stage 1's."""
    place: Tensor
    """(B, N, 2) float32, see `window_places`."""
    window_label: Tensor
    """(B, N) float32: 0, 1, or NaN where unknown or padding."""
    mask: Tensor
    """(B, N) bool."""

    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what a sequence classifier is called with, in its order."""
        return self.features, self.window_logit, self.place, self.mask


def collate(sequences: Sequence[StudySequence], *, length: int = 0) -> SequenceBatch:
    """Pad studies to the longest of them, or to `length` windows if that is more."""
    labels = [np.where(s.window_label == UNKNOWN, np.nan, s.window_label).astype(np.float32) for s in sequences]
    return SequenceBatch(
        _padded([torch.from_numpy(s.features) for s in sequences], length),
        _padded([torch.from_numpy(s.window_logit) for s in sequences], length),
        _padded([torch.from_numpy(window_places(s.window_start, length=s.window_length)) for s in sequences], length),
        _padded([torch.from_numpy(values) for values in labels], length, value=np.nan),
        _padded([torch.ones(len(s.window_logit), dtype=torch.bool) for s in sequences], length),
    )


def _padded(rows: list[Tensor], length: int, value: float = 0.0) -> Tensor:
    """(N, ...) each -> (B, N, ...), N the longest or `length`."""
    batch = pad_sequence(rows, batch_first=True, padding_value=value)
    missing = max(0, length - batch.shape[1])
    return F.pad(batch, (0, 0) * (batch.dim() - 2) + (0, missing), value=value) if missing else batch
