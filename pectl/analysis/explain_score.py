"""Score explanations: does the heat lie where the PE is, and more so than baselines that know no model?"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from pectl.analysis.explain import Explainer, Explanation
from pectl.analysis.gradcam import Method
from pectl.analysis.intervals import Interval, wilson
from pectl.core.data.labels import UNKNOWN
from pectl.core.data.stamp import RESEARCH_USE
from pectl.core.data.study_store import Study
from pectl.core.ranking import auroc

VESSEL_HU = (150.0, 500.0)
"""Contrast in a vessel; averages above are bone."""
VESSEL_MM = 5.0
"""A vessel's brightness is the mean over a cube of this side."""
CONFIDENCE = 0.95
_DIGITS = 4
_NAMES: Mapping[Method, str] = {"grad-cam": "Grad-CAM", "layer-cam": "Layer-CAM"}

Shown = Mapping[str, str]
Show = Callable[[Study, Explanation], Shown]


@dataclass(frozen=True, kw_only=True)
class StudyScore:
    """How well the heat of one study agrees with its labels.

    Attributes:
        positive: some original slice is labelled PE.
        hit: the heat's peak lies in a grid slice with PE; a study without heat is a miss.
        random_hit: the same for a random slice of the grid: the share of slices with PE.
        brightest_hit: the same for the brightest vessel.
        auroc: of slice heat against `pe_present_on_image` over the original slices; NaN for one class only.
        brightest_auroc: the same for the brightest vessel of each slice.
        side_agrees: more heat on the labelled side; None unless one side alone is labelled and there is heat.
    """

    uid: str
    positive: bool
    hit: bool
    random_hit: float
    brightest_hit: bool
    auroc: float
    brightest_auroc: float
    side_agrees: bool | None


def score_study(study: Study, explanation: Explanation) -> StudyScore:
    """Score the heat of one study against its slice labels."""
    brightest = vessel_brightness(study).max(axis=(1, 2))  # (D,)
    with_pe = study.slice_label == 1
    peak = explanation.peak
    return StudyScore(
        uid=study.uid,
        positive=bool((study.source.label == 1).any()),
        hit=peak is not None and peak.slice_label == 1,
        random_hit=float(with_pe.mean()),
        brightest_hit=bool(with_pe[brightest.argmax()]),
        auroc=_slice_auroc(study, explanation.slice_heat),
        brightest_auroc=_slice_auroc(study, brightest),
        side_agrees=_side_agrees(study.exam_labels, explanation.left_share),
    )


def vessel_brightness(study: Study) -> NDArray[np.float32]:
    """Return (D, S, S): mean HU of a cube around each voxel, 0 unless it is that of a filled vessel."""
    size = [max(1, round(VESSEL_MM / step)) for step in study.spacing_mm]
    mean = uniform_filter(study.hu.astype(np.float32), size)
    mean[(mean < VESSEL_HU[0]) | (mean > VESSEL_HU[1])] = 0
    return np.asarray(mean, np.float32)


def score_explanations(
    scores: Sequence[StudyScore], *, split: str = "test", method: Method = "grad-cam"
) -> dict[str, Any]:
    """Summarise the positive studies: `statement`, then numbers to four digits, None where undefined."""
    positive = [score for score in scores if score.positive]
    n, hits = len(positive), sum(score.hit for score in positive)
    low, high = wilson(hits, n, CONFIDENCE)
    bright = sum(score.brightest_hit for score in positive)
    sided = [score.side_agrees for score in positive if score.side_agrees is not None]
    numbers = {
        "peak_in_pe_slice_share": hits / n if n else np.nan,
        "peak_in_pe_slice_ci_low": low,
        "peak_in_pe_slice_ci_high": high,
        "random_slice_share": mean([score.random_hit for score in positive]),
        "brightest_vessel_share": bright / n if n else np.nan,
        "slice_auroc_median": _median([score.auroc for score in positive]),
        "brightest_vessel_slice_auroc_median": _median([score.brightest_auroc for score in positive]),
        "side_agreement_share": mean([float(agrees) for agrees in sided]),
    }
    counts = {"n_studies": len(scores), "n_positive": n, "peak_in_pe_slice": hits, "n_one_sided": len(sided)}
    return {
        "statement": _statement(hits, n, (low, high), f"{_NAMES[method]}'s peak", split),
        **counts,
        **{name: rounded(value) for name, value in numbers.items()},
        "use": RESEARCH_USE,
    }


def explain_split(
    studies: Iterable[Study], explainer: Explainer, *, show: Show | None = None, split: str = "test"
) -> dict[str, Any]:
    """Explain and score studies one at a time.

    Args:
        studies: read as they are needed; only one is held.
        explainer: of the chain.
        show: writes what is seen of a study and returns its `image`, `link` and `caption` for the summary.
        split: named in the statement.

    Returns:
        The summary of `score_explanations`, and `studies`: StudyInstanceUID -> what `show` returned.
    """
    scores, shown = [], {}
    for study in studies:
        explanation = explainer.explain(study)
        scores.append(score_study(study, explanation))
        if show is not None:
            shown[study.uid] = dict(show(study, explanation))
    return score_explanations(scores, split=split, method=explainer.method) | {"studies": shown}


def _slice_auroc(study: Study, slice_score: NDArray[np.float32]) -> float:
    known = (study.source.grid_index >= 0) & (study.source.label != UNKNOWN)
    score = slice_score[study.source.grid_index[known]].astype(np.float64)
    return float(auroc(study.source.label[known] == 1, score))


def _side_agrees(labels: Mapping[str, int | None], left_share: float | None) -> bool | None:
    left, right = labels["leftsided_pe"], labels["rightsided_pe"]
    if left_share is None or left is None or right is None or left + right != 1:
        return None
    return (left_share > 0.5) == bool(left)


def _statement(hits: int, n: int, bounds: Interval, peak: str, split: str) -> str:
    if n == 0:
        return f"No {split} study has a slice labelled PE, so {peak} can't be scored."
    low, high = (round(100 * bound) for bound in bounds)
    return f"{peak} lies in a slice with PE in {hits} of {n} positive {split} studies (95 % CI {low} to {high} %)."


def mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are defined; NaN without any."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else np.nan


def _median(values: Sequence[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.median(defined)) if defined else np.nan


def rounded(value: float) -> float | None:
    """Return a number with four digits, None for NaN."""
    return None if np.isnan(value) else round(value, _DIGITS)
