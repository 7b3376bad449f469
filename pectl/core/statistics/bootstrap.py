"""Study-cluster bootstrap without a loop over replicates.

A replicate draws studies with replacement; all units (windows, images) of a study come with it. That is the
same as giving each study an integer weight, so the scores are sorted once, and the weighted AUROCs of all
replicates are products of sparse counts with the weights.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pectl.core.statistics.ranking import BoolArray, FloatArray

IntArray = NDArray[np.intp]
Weights = NDArray[np.float32]
"""(C, R): how often study c was drawn into replicate r."""

_BLOCK = 128
"""Replicates worked on at a time: the weights of a few thousand studies stay in the processor's cache."""
_EXACT_FLOAT32 = 2**22
"""Largest total of weights for which halves are exact in float32 (24-bit mantissa), with room to spare."""


def study_weights(n_studies: int, *, replicates: int, seed: int) -> Weights:
    """Draw the replicates: each column sums to `n_studies`."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(n_studies, size=(replicates, n_studies))
    drawn += n_studies * np.arange(replicates)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=replicates * n_studies).reshape(replicates, n_studies)
    return np.ascontiguousarray(counts.T, dtype=np.float32)


def replicate_auroc(label: BoolArray, score: FloatArray, study: IntArray, weights: Weights) -> FloatArray:
    """Return the AUROC of every replicate (R,); NaN where a replicate drew one class only.

    Args:
        label: (n,) bool.
        score: (n,).
        study: (n,) row of `weights` that each unit belongs to.
        weights: (C, R).

    Example:
        >>> label = np.array([True, False, True, False, True, False])  # two windows of each of three studies
        >>> score = np.array([0.9, 0.2, 0.6, 0.7, 0.8, 0.3])
        >>> study = np.array([0, 0, 1, 1, 2, 2])
        >>> weights = study_weights(3, replicates=200, seed=0)
        >>> low, high = percentile_interval(replicate_auroc(label, score, study, weights), confidence=0.95)
        >>> round(low, 2), round(high, 2)
        (0.0, 1.0)
    """
    steps = _steps(label, score, study, n_studies=weights.shape[0])
    heaviest = float(weights.sum(axis=0).max()) * float(np.bincount(study).max())
    exact = weights if heaviest < _EXACT_FLOAT32 else weights.astype(np.float64)
    blocks = [exact[:, start : start + _BLOCK] for start in range(0, exact.shape[1], _BLOCK)]
    return np.concatenate([_block_auroc(steps, np.ascontiguousarray(block)) for block in blocks])


@dataclass(frozen=True)
class _Steps:
    """The sorted units as runs: in a step, all negatives lie below all positives, or all are tied.

    `negative` and `positive` (S, C) count each study's units in each step; `win` (S,) is what a positive
    gains against a negative of its own step: 1, or one half in a tie.
    """

    negative: csr_array
    positive: csr_array
    win: NDArray[np.float32]


def _steps(label: BoolArray, score: FloatArray, study: IntArray, *, n_studies: int) -> _Steps:
    order = np.argsort(score)
    label, score, study = label[order], score[order], study[order]
    first = np.concatenate([[True], score[1:] != score[:-1]])
    level = np.cumsum(first) - 1
    n_positive = np.bincount(level, weights=label)
    n_negative = np.bincount(level, weights=~label)
    tied = (n_positive > 0) & (n_negative > 0)
    starts = tied.copy()
    starts[1:] |= tied[:-1] | ((n_negative[1:] > 0) & (n_positive[:-1] > 0))
    starts[0] = True
    step = (np.cumsum(starts) - 1)[level]
    n_steps = int(step[-1]) + 1
    return _Steps(
        _counts(step[~label], study[~label], shape=(n_steps, n_studies)),
        _counts(step[label], study[label], shape=(n_steps, n_studies)),
        np.where(tied[starts], 0.5, 1.0).astype(np.float32),
    )


def _counts(step: IntArray, study: IntArray, *, shape: tuple[int, int]) -> csr_array:
    """Build the count matrix; `step` ascends, so rows are already in order."""
    indptr = step.searchsorted(np.arange(shape[0] + 1))
    return csr_array((np.ones(step.size, np.float32), study.astype(np.int32), indptr.astype(np.int32)), shape=shape)


def _block_auroc(steps: _Steps, weights: Weights) -> FloatArray:
    negative = steps.negative @ weights  # (S, r)
    positive = steps.positive @ weights
    below = np.cumsum(negative, axis=0, dtype=weights.dtype)
    n_negative = below[-1].astype(np.float64)
    n_positive = positive.sum(axis=0, dtype=np.float64)
    negative *= (1 - steps.win)[:, None]
    below -= negative
    wins = np.einsum("sr,sr->r", positive, below, dtype=np.float64)
    pairs = n_positive * n_negative
    return _divide(wins, pairs)


def replicate_ratio(part: FloatArray, whole: FloatArray, study: IntArray, weights: Weights) -> FloatArray:
    """Return sum(weight * part) / sum(weight * whole) of every replicate (R,), for units (n,) of studies.

    A sensitivity is part = called and positive, whole = positive. NaN where the denominator is 0.

    Example:
        >>> weights = study_weights(4, replicates=200, seed=0)
        >>> called, positive = np.array([1.0, 1.0, 0.0, 1.0]), np.ones(4)
        >>> sensitivity = replicate_ratio(called, positive, np.arange(4), weights)
        >>> percentile_interval(sensitivity, confidence=0.95)
        (0.25, 1.0)
    """
    n_studies = weights.shape[0]
    sums = np.stack([np.bincount(study, weights=values, minlength=n_studies) for values in (part, whole)])
    above, below = sums @ weights.astype(np.float64)
    return _divide(above, below)


def _divide(above: FloatArray, below: FloatArray) -> FloatArray:
    """Divide; NaN where the denominator is 0."""
    quotient = np.full(below.size, np.nan)
    return np.asarray(np.divide(above, below, out=quotient, where=below > 0), np.float64)


def percentile_interval(replicates: FloatArray, confidence: float) -> tuple[float, float]:
    """Return the percentile interval over the replicates that are defined; NaN where fewer than two are."""
    defined = replicates[~np.isnan(replicates)]
    if defined.size < 2:
        return np.nan, np.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)
