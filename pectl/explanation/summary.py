"""Summarise how well heat points in the positive studies of a split, and by how much it beats both baselines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pectl.config import EvaluateConfig
from pectl.core.statistics.bootstrap import percentile_interval, replicate_ratio, study_weights
from pectl.core.statistics.intervals import UNDEFINED, Interval, newcombe_paired, wilson
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.explanation.baselines import Measured
from pectl.explanation.gradcam import METHOD_NAMES, Method
from pectl.explanation.score import Measures

YES_OR_NO = ("peak_in_pe_slice", "side_agreement", "pointing_game", "pointing_chronic", "peak_near_ventricle")
"""Measures that are 0 or 1 in a study; the others are shares and AUROCs."""
MEASURES = (
    "peak_in_pe_slice",
    "slice_auroc",
    "side_agreement",
    "pointing_game",
    "pointing_chronic",
    "heat_in_arteries",
    "heat_in_emboli",
    "peak_near_ventricle",
    "heat_in_ventricles",
)
BASELINES = ("random_lung", "brightest_vessel")
_BASELINE_WORDS = ("a random position in the lungs", "the brightest vessel")
_HIT_WORDS = {
    "peak_in_pe_slice": "in a slice with PE",
    "pointing_game": "within 5 mm of an embolus",
    "pointing_chronic": "within 5 mm of a chronic embolus",
    "peak_near_ventricle": "within 10 mm of a ventricle",
}
_DIGITS = 4

FloatArray = NDArray[np.float64]
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class StudyScore:
    """The measures of one study; `positive` if some slice is labelled PE."""

    uid: str
    positive: bool
    measures: Measures


def summarise(
    scores: Sequence[StudyScore], *, method: Method, label: str, split: str, config: EvaluateConfig, seed: int
) -> Json:
    """Summarise the positive studies: means, intervals, and paired differences to both baselines.

    Args:
        scores: of all studies of the split.
        method: of the heat.
        label: what was explained.
        split: its name.
        config: confidence and bootstrap replicates.
        seed: of the bootstrap.

    Returns:
        `statement`, counts, and `measures`: name -> `n`, `value`, `ci`, `ci_method`, and for each baseline its
        `value`, `difference` and `difference_ci`; null where undefined. Shares of yes-or-no measures have
        Wilson's interval, differences to the brightest vessel Newcombe's for pairs; a random position isn't
        drawn, its share is exact, so Wilson's interval is moved by it. All else: bootstrap over studies.
    """
    positive = [score for score in scores if score.positive]
    blocks = {}
    for name in MEASURES:
        found = [score.measures[name] for score in positive if name in score.measures]
        if found:
            table = np.array(found, np.float64)  # (n, 3)
            blocks[name] = _counted(table, config) if name in YES_OR_NO else _averaged(table, config, seed)
    return {
        "statement": _statement(blocks, method, split, config.confidence),
        "label": label,
        "method": method,
        "split": split,
        "n_studies": len(scores),
        "n_positive": len(positive),
        "confidence": config.confidence,
        "bootstrap_replicates": config.bootstrap_replicates,
        "measures": blocks,
        "use": RESEARCH_USE,
    }


def _counted(table: FloatArray, config: EvaluateConfig) -> Json:
    """Return the block of a yes-or-no measure: (n, 3) of heat 0/1, chance, brightest vessel 0/1."""
    n, hits = len(table), int(table[:, 0].sum())
    low, high = wilson(hits, n, config.confidence)
    share, chance, bright = (float(value) for value in table.mean(axis=0))
    heat, vessel = table[:, 0] == 1, table[:, 2] == 1
    both, first = int((heat & vessel).sum()), int((heat & ~vessel).sum())
    second, neither = int((~heat & vessel).sum()), int((~heat & ~vessel).sum())
    paired = newcombe_paired(both, first, second, neither, config.confidence)
    return _block(
        n,
        share,
        (low, high),
        "wilson",
        (chance, share - chance, (low - chance, high - chance)),
        (bright, share - bright, paired),
    ) | {"hits": hits}


def _averaged(table: FloatArray, config: EvaluateConfig, seed: int) -> Json:
    """Return the block of a measure that is a number in each study: (n, 3)."""
    n = len(table)
    weights = study_weights(n, replicates=config.bootstrap_replicates, seed=seed)

    def interval(values: FloatArray) -> Interval:
        if n == 1:
            return UNDEFINED
        means = replicate_ratio(values, np.ones(n), np.arange(n), weights)
        return percentile_interval(means, config.confidence)

    heat, *baselines = table.T
    compared = [(float(other.mean()), float((heat - other).mean()), interval(heat - other)) for other in baselines]
    return _block(n, float(heat.mean()), interval(heat), "study-cluster-bootstrap", *compared)


def _block(n: int, value: float, ci: Interval, method: str, *compared: tuple[float, float, Interval]) -> Json:
    baselines = {
        name: {"value": _short(other), "difference": _short(difference), "difference_ci": _bounds(bounds)}
        for name, (other, difference, bounds) in zip(BASELINES, compared, strict=True)
    }
    return {
        "n": n,
        "value": _short(value),
        "ci": _bounds(ci),
        "ci_method": method,
        "baselines": baselines,
        "above_baselines": bool(all(bounds[0] > 0 for _, _, bounds in compared)),
    }


def _statement(blocks: Json, method: Method, split: str, confidence: float) -> str:
    peak = f"{METHOD_NAMES[method]}'s peak"
    told = [f"{words} in {_told(blocks[name], confidence)}" for name, words in _HIT_WORDS.items() if name in blocks]
    if not told:
        return f"No {split} study has a slice labelled PE, so {peak} can't be scored."
    return f"In positive {split} studies {peak} lies {', and '.join(told)}."


def _told(block: Json, confidence: float) -> str:
    low, high = (round(100 * bound) for bound in block["ci"])
    others = [
        f"{name} {100 * block['baselines'][key]['value']:.0f} %"
        for key, name in zip(BASELINES, _BASELINE_WORDS, strict=True)
    ]
    return f"{block['hits']} of {block['n']} ({100 * confidence:g} % CI {low} to {high} %; {', '.join(others)})"


def _bounds(bounds: Interval) -> list[float] | None:
    return None if np.isnan(bounds).any() else [_short(bound) for bound in bounds]


def _short(value: float) -> float:
    return round(value, _DIGITS)


def measures_to_json(measures: Measures) -> Json:
    """Return measures as plain JSON values."""
    return {name: {key: _short(float(v)) for key, v in Measured._asdict(m).items()} for name, m in measures.items()}
