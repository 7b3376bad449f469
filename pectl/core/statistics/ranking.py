"""The area under the ROC curve: exact, with ties, fast enough for millions of scores."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def auroc(label: BoolArray, score: FloatArray) -> float:
    """Return the area under the ROC curve of (n,) labels and scores; NaN unless both classes are there.

    A tie between a positive and a negative counts one half.

    Both classes are sorted apart, and the smaller one looked up in the larger: no argsort, and integers until
    the last division (Mann and Whitney 1947).

    Example:
        >>> auroc(np.array([True, True, False, False]), np.array([0.9, 0.4, 0.4, 0.1]))
        0.875
    """
    positive, negative = sorted_classes(label, score)
    if not positive.size or not negative.size:
        return np.nan
    few, many = (positive, negative) if positive.size <= negative.size else (negative, positive)
    twice_below = int(many.searchsorted(few, "left").sum()) + int(many.searchsorted(few, "right").sum())
    pairs = positive.size * negative.size
    wins = twice_below if few is positive else 2 * pairs - twice_below
    return wins / (2 * pairs)


def sorted_classes(label: BoolArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the scores of the positives and of the negatives, each ascending."""
    return np.sort(score[label]), np.sort(score[~label])
