"""Projection of predictions onto the competition's consistency rules: no violation left, at the least cost.

The rules (p > 0.5 means present). If any image is present: exactly one RV/LV label, at least one of left,
right and central, not both chronic and acute-and-chronic, neither negative nor indeterminate. If none is:
exactly one of negative and indeterminate, and none of the other seven. That leaves 44 patterns of the nine
labels.

Cost. A probability that a pattern contradicts is clipped to the nearest value it allows, just past 0.5. The
cost is what that adds to the competition's weighted log loss if the probabilities before were right:
weight * KL(before || after), summed over the nine labels and the images. KL is convex in `after` with its
minimum at `before`, so the nearest value is each pattern's cheapest, and trying all 44 finds the optimum.

RV/LV as one question (`one_ratio`). Our models answer it once, given PE, so their two labels are that answer times
P(PE), and sum to P(PE). They go on doing so: with PE the likelier of the two is present, and what the two sum to is
the consistent P(PE); without PE both go down in proportion until the sum is just below 0.5. A table of any model has
two labels that needn't sum to anything, and each is clipped by itself.
"""

from __future__ import annotations  # pandas is imported by who has tables

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pectl.core.labels.names import (
    ACUTE_AND_CHRONIC,
    CENTRAL,
    CHRONIC,
    COMPETITION_WEIGHTS,
    EXAM_LABELS,
    IMAGE_WEIGHT,
    LEFT,
    NEGATIVE,
    RIGHT,
    RV_LV_GTE_1,
    RV_LV_LT_1,
    STUDY,
)

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MARGIN = 1e-6
"""Clipped values end this far from 0.5, so that a tie is on one side, also after float32 or a CSV."""
_PRESENT, _ABSENT = 0.5 + MARGIN, 0.5 - MARGIN
_WEIGHTS = np.array([COMPETITION_WEIGHTS[name] for name in EXAM_LABELS])
_TINY = 1e-300


def _patterns() -> BoolArray:
    """List the 44 allowed patterns of the nine labels: (44, 9), non-positive ones first."""
    absent = dict.fromkeys(EXAM_LABELS, False)
    rows = [absent | {NEGATIVE: True}, absent | {"indeterminate": True}]
    sides = [side for side in product((True, False), repeat=3) if any(side)]
    ages = ((False, False), (True, False), (False, True))
    for large, (central, left, right), (chronic, both) in product((True, False), sides, ages):
        rows.append(
            absent
            | {RV_LV_GTE_1: large, RV_LV_LT_1: not large}
            | {CENTRAL: central, LEFT: left, RIGHT: right}
            | {CHRONIC: chronic, ACUTE_AND_CHRONIC: both}
        )
    return np.array([[row[name] for name in EXAM_LABELS] for row in rows])


PATTERNS = _patterns()
_PATTERN_HAS_PE: BoolArray = np.asarray(~PATTERNS[:, :2].any(axis=1), np.bool_)
_LARGE, _SMALL = (EXAM_LABELS.index(name) for name in (RV_LV_GTE_1, RV_LV_LT_1))
_RATIO = [_LARGE, _SMALL]
_BITS = 1 << np.arange(9)
_PATTERN_CODES = PATTERNS @ _BITS


@dataclass(frozen=True)
class Projection:
    """Consistent predictions: the tables as they came with other values, and the `cost` of each study."""

    exam: pd.DataFrame
    image: pd.DataFrame | None
    cost: pd.Series


def project(
    exam: pd.DataFrame, image: pd.DataFrame | None = None, *, pe: BoolArray | None = None, one_ratio: bool = False
) -> Projection:
    """Move predictions to the nearest that obey the rules.

    Args:
        exam: index StudyInstanceUID, the nine label columns, in [0, 1].
        image: columns StudyInstanceUID and score; images of studies that `exam` lacks stay as they are.
        pe: (n,) which studies show PE, decided beforehand (as a heuristic does); None leaves it to the cost.
        one_ratio: the two RV/LV labels sum to P(PE), and are to go on doing so.

    Returns:
        The projection. Ties between patterns go to the first: negative, indeterminate, then PE.

    Example:
        >>> import pandas as pd
        >>> # PE on the left, and RV/LV neither large nor small
        >>> said = {"leftsided_pe": 0.8, "rv_lv_ratio_gte_1": 0.45, "rv_lv_ratio_lt_1": 0.4}
        >>> exam = pd.DataFrame([dict.fromkeys(EXAM_LABELS, 0.1) | said], index=["1.2.3"])
        >>> violations(exam)
        array([ True])
        >>> consistent = project(exam)
        >>> violations(consistent.exam)
        array([False])
        >>> consistent.exam.loc["1.2.3", ["leftsided_pe", "rv_lv_ratio_gte_1"]].round(3).tolist()
        [0.8, 0.5]
    """
    import pandas as pd

    images = None if image is None else _images_of(exam.index, image)
    moved = project_scores(exam[list(EXAM_LABELS)].to_numpy(np.float64), images, pe=pe, one_ratio=one_ratio)
    return Projection(
        exam=exam.assign(**dict(zip(EXAM_LABELS, moved.exam.T, strict=True))),
        image=None if image is None else image.assign(score=moved.image),
        cost=pd.Series(moved.cost, index=exam.index, name="cost"),
    )


class ImageScores(NamedTuple):
    """The images of studies."""

    study: NDArray[np.intp]
    """(m,) row of the image's study, -1 for a study that isn't there."""
    score: FloatArray
    """(m,) in [0, 1]."""


class Moved(NamedTuple):
    """Consistent predictions as arrays, and the cost of each study."""

    exam: FloatArray
    """(n, 9)."""
    image: FloatArray | None
    """(m,) as the images came."""
    cost: FloatArray
    """(n,)."""


def project_scores(
    p: FloatArray, images: ImageScores | None = None, *, pe: BoolArray | None = None, one_ratio: bool = False
) -> Moved:
    """Do what `project` does to arrays: (n, 9) labels in the order of EXAM_LABELS, and the images."""
    cost = _pattern_costs(p)  # (n, 44)
    if one_ratio:
        cost += _cost_of_one_ratio(p[:, _RATIO])
    told = None if images is None else _Images.of(images, len(p))
    if told is not None:
        cost += np.where(_PATTERN_HAS_PE, told.cost_of_pe[:, None], told.cost_of_none[:, None])
    if pe is not None:
        cost[pe[:, None] != _PATTERN_HAS_PE] = np.inf
    best = cost.argmin(axis=1)
    clipped = np.where(PATTERNS[best], np.maximum(p, _PRESENT), np.minimum(p, _ABSENT))
    if one_ratio:
        without_pe = ~_PATTERN_HAS_PE[best]
        clipped[np.ix_(without_pe, _RATIO)] = _ratio_without_pe(p[without_pe][:, _RATIO])
    lowest = cost[np.arange(len(p)), best]
    return Moved(clipped, None if told is None else told.clipped(_PATTERN_HAS_PE[best]), lowest)


def _cost_of_one_ratio(ratio: FloatArray) -> FloatArray:
    """Return what each pattern costs more (n, 44) if the two RV/LV labels (n, 2) are one answer."""
    further = _kl(ratio, _ratio_without_pe(ratio)) - _kl(ratio, np.minimum(ratio, _ABSENT))
    large = ratio[:, :1] >= ratio[:, 1:]  # (n, 1)
    with_pe = np.where(PATTERNS[:, _LARGE] == large, 0.0, np.inf)
    without_pe = (_WEIGHTS[_RATIO] * further).sum(axis=1, keepdims=True)
    return np.asarray(np.where(_PATTERN_HAS_PE, with_pe, without_pe), np.float64)


def _ratio_without_pe(ratio: FloatArray) -> FloatArray:
    """Lower the two RV/LV labels (n, 2) in proportion, until they sum to just below 0.5 at most."""
    total = ratio.sum(axis=1, keepdims=True)
    return np.asarray(ratio * (_ABSENT / np.maximum(total, _ABSENT)), np.float64)


def consistent_pe(exam: FloatArray, *, one_ratio: bool) -> FloatArray:
    """Return P(PE) (n,) of consistent labels (n, 9): above 0.5 exactly where they say PE.

    With `one_ratio` it is the sum of the two RV/LV labels, else 1 - the larger of negative and indeterminate.
    """
    return np.asarray(exam[:, _RATIO].sum(axis=1) if one_ratio else 1 - exam[:, :2].max(axis=1), np.float64)


def _images_of(studies: pd.Index, image: pd.DataFrame) -> ImageScores:
    import pandas as pd

    study = studies.get_indexer(pd.Index(image[STUDY]))
    return ImageScores(study, image["score"].to_numpy(np.float64))


def violations(exam: pd.DataFrame, image: pd.DataFrame | None = None) -> BoolArray:
    """Return which studies (n,) break a rule; without images the nine labels must agree among themselves."""
    present = np.asarray(exam[list(EXAM_LABELS)].to_numpy(np.float64) > 0.5)
    broken = np.asarray(~np.isin(present @ _BITS, _PATTERN_CODES), np.bool_)
    if image is None:
        return broken
    top = image.groupby(STUDY)["score"].max().reindex(exam.index).to_numpy()
    return np.asarray(broken | (~np.isnan(top) & ((top > 0.5) != _says_pe(exam))), np.bool_)


def _says_pe(exam: pd.DataFrame) -> BoolArray:
    """Return which studies (n,) are neither negative nor indeterminate."""
    return np.asarray((exam[list(EXAM_LABELS[:2])].to_numpy(np.float64) <= 0.5).all(axis=1), np.bool_)


def clipping_heuristic(exam: pd.DataFrame, image: pd.DataFrame | None = None, *, one_ratio: bool = False) -> Projection:
    """Clip as is common: the top image decides on PE (without images, the exam labels), the rest follows."""
    pe = _says_pe(exam)
    if image is not None:
        top = image.groupby(STUDY)["score"].max().reindex(exam.index).to_numpy()
        pe = np.asarray(np.where(np.isnan(top), pe, top > 0.5), np.bool_)
    return project(exam, image, pe=pe, one_ratio=one_ratio)


def _pattern_costs(p: FloatArray) -> FloatArray:
    """Cost of each pattern for each study: (n, 9) -> (n, 44)."""
    to_present = _WEIGHTS * _kl(p, np.maximum(p, _PRESENT))
    to_absent = _WEIGHTS * _kl(p, np.minimum(p, _ABSENT))
    # summed label by label: a product of matrices adds in another order for another number of studies
    return np.asarray(np.where(PATTERNS, to_present[:, None], to_absent[:, None]).sum(axis=2), np.float64)


def _kl(p: FloatArray, q: FloatArray) -> FloatArray:
    """KL divergence of Bernoulli(q) from Bernoulli(p); q is p, or neither 0 nor 1 unless p is."""
    present = p * np.log(np.maximum(p, _TINY) / np.maximum(q, _TINY))
    absent = (1 - p) * np.log(np.maximum(1 - p, _TINY) / np.maximum(1 - q, _TINY))
    return np.asarray(present + absent, np.float64)


def _top_images(study: NDArray[np.intp], score: FloatArray, rows: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Return the row of the highest image of each of n studies that has images; of equals the last."""
    highest = np.full(n, -np.inf)
    np.maximum.at(highest, study[rows], score[rows])
    candidates = rows[score[rows] == highest[study[rows]]]
    top = np.full(n, -1, np.intp)
    np.maximum.at(top, study[candidates], candidates)
    return top[top >= 0]


@dataclass(frozen=True)
class _Images:
    """The images of the studies: what either answer on PE would cost them.

    An image weighs IMAGE_WEIGHT times its study's share of positive images; before the truth is known that
    share is taken to be the mean score of the study's images.
    """

    images: ImageScores
    top: NDArray[np.intp]  # row of the highest image of each study that has images
    cost_of_pe: FloatArray  # (n,)
    cost_of_none: FloatArray  # (n,)

    @classmethod
    def of(cls, images: ImageScores, n: int) -> _Images:
        study, score = images
        rows = np.flatnonzero(study >= 0)
        n_images = np.bincount(study[rows], minlength=n)
        share = np.bincount(study[rows], weights=score[rows], minlength=n) / np.maximum(n_images, 1)
        weight = IMAGE_WEIGHT * share
        top = _top_images(study, score, rows, n)
        cost_of_pe, cost_of_none = np.zeros(n), np.zeros(n)
        cost_of_pe[study[top]] = _kl(score[top], np.maximum(score[top], _PRESENT))
        to_absent = _kl(score[rows], np.minimum(score[rows], _ABSENT))
        cost_of_none += np.bincount(study[rows], weights=to_absent, minlength=n)
        return cls(images, top, weight * cost_of_pe, weight * cost_of_none)

    def clipped(self, pe: BoolArray) -> FloatArray:
        """Return the scores (m,) once it is settled which studies (n,) show PE."""
        study, score = self.images.study, self.images.score.copy()
        lowered = np.append(~pe, False)[study]  # -1 finds the appended False
        score[lowered] = np.minimum(score[lowered], _ABSENT)
        raised = self.top[pe[study[self.top]]]
        score[raised] = np.maximum(score[raised], _PRESENT)
        return score
