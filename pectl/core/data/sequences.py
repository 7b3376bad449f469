"""Studies of different length in one batch: padded at the end, with a mask of what is real."""

from collections.abc import Sequence as Many
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pectl.core.data.feature_store import Sequence
from pectl.core.data.labels import UNKNOWN


class SequenceBatch(NamedTuple):
    """B studies of up to N windows; padding is 0, and false in `mask`."""

    features: Tensor
    """(B, N, F) float32."""
    window_logit: Tensor
    """(B, N) float32, stage 1's."""
    window_label: Tensor
    """(B, N) float32: 0, 1, or NaN where unknown or padding."""
    mask: Tensor
    """(B, N) bool."""


def collate(sequences: Many[Sequence]) -> SequenceBatch:
    """Pad studies to one length."""
    labels = [np.where(s.window_label == UNKNOWN, np.nan, s.window_label).astype(np.float32) for s in sequences]
    return SequenceBatch(
        pad_sequence([torch.from_numpy(s.features) for s in sequences], batch_first=True),
        pad_sequence([torch.from_numpy(s.window_logit) for s in sequences], batch_first=True),
        pad_sequence([torch.from_numpy(values) for values in labels], batch_first=True, padding_value=np.nan),
        pad_sequence([torch.ones(len(s.window_logit), dtype=torch.bool) for s in sequences], batch_first=True),
    )
