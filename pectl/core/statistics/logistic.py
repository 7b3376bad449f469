"""Probabilities as logits, and back."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_LOGIT_CLIP = 1e-7


def logits(score: FloatArray) -> FloatArray:
    """Return log(p / (1 - p)) with p kept 1e-7 from 0 and 1."""
    clipped = np.clip(score, _LOGIT_CLIP, 1 - _LOGIT_CLIP)
    return np.asarray(np.log(clipped) - np.log1p(-clipped), np.float64)


def sigmoid(logit: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-logit)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit)), np.float64)
