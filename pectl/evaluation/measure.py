"""Everything that is measured of one binary score: the block that `metrics.json` repeats for each label."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pectl.config import EvaluateConfig
from pectl.core.decisions.decisions import Decisions
from pectl.core.statistics import metrics
from pectl.core.statistics.bootstrap import IntArray, Weights, percentile_interval, replicate_auroc, replicate_ratio
from pectl.core.statistics.delong import auc_covariance
from pectl.core.statistics.intervals import UNDEFINED, Interval, newcombe, wald, wilson
from pectl.core.statistics.metrics import Confusion
from pectl.core.statistics.ranking import BoolArray, FloatArray, auroc

Json = dict[str, Any]

DELONG, CLUSTERED_DELONG, NEWCOMBE = "delong", "clustered-delong", "newcombe"
WILSON, CLUSTER_BOOTSTRAP = "wilson", "study-cluster-bootstrap"


@dataclass(frozen=True)
class Units:
    """The exams, windows or images that are measured: arrays (n,).

    Attributes:
        label: bool.
        score: ranks the units, in [0, 1].
        probability: calibrated, compared with the threshold.
        study: row of the bootstrap's weights for units that come several to a study, or exams that come several to a
            patient; None where each stands for itself.
        weights: (C, R) of the cluster bootstrap; None where each stands for itself.
    """

    label: BoolArray
    score: FloatArray
    probability: FloatArray
    study: IntArray | None = None
    weights: Weights | None = None

    def part(self, chosen: BoolArray) -> "Units":
        """Return the units of a mask (n,)."""
        study = None if self.study is None else self.study[chosen]
        return Units(self.label[chosen], self.score[chosen], self.probability[chosen], study, self.weights)


def measure(units: Units, *, threshold: float, confidence: float) -> Json:
    """Return the block of metrics; what isn't defined is None, and `reason` says why."""
    counts = metrics.confusion(units.label, units.probability, threshold)
    block = {
        "n": units.label.size,
        "n_positive": int(units.label.sum()),
        **_ranking(units, confidence),
        "threshold": threshold,
        **_proportions(units, threshold, counts, confidence),
        "f1": counts.f1,
        "confusion": {"tp": counts.tp, "fp": counts.fp, "fn": counts.fn, "tn": counts.tn},
        **_probability(units),
    }
    return {name: jsonable(value) for name, value in block.items()} | {"reason": _reason(block, units)}


def measure_decided(units: Units, decisions: Decisions, name: str, config: EvaluateConfig) -> Json:
    """Measure at the frozen threshold of `name`; `threshold_rule` says how it was fitted, or that it wasn't."""
    threshold = decisions.thresholds[name]
    block = measure(units, threshold=threshold.value, confidence=config.confidence)
    return block | {"threshold_rule": threshold.reason or threshold.rule}


def jsonable(value: object) -> object:
    """Return the value with NaN, which JSON doesn't have, as None; an interval as a list or None."""
    if isinstance(value, tuple):
        return None if any(math.isnan(bound) for bound in value) else list(value)
    return None if isinstance(value, float) and math.isnan(value) else value


def _ranking(units: Units, confidence: float) -> Json:
    """AUROC with its intervals, and average precision."""
    both = bool(units.label.any()) and not units.label.all()
    interval, method = _auroc_interval(units, confidence) if both else (UNDEFINED, None)
    block: Json = {
        "auroc": auroc(units.label, units.score),
        "auroc_ci": interval,
        "ci_method": method,
    }
    if units.study is not None and units.weights is not None:
        replicates = replicate_auroc(units.label, units.score, units.study, units.weights) if both else None
        block["auroc_ci_bootstrap"] = UNDEFINED if replicates is None else percentile_interval(replicates, confidence)
        if min(_independent_counts(units)) < 2:
            block["auroc_ci_bootstrap"] = UNDEFINED  # a class of one study is the same in every replicate
    return block | {"average_precision": metrics.average_precision(units.label, units.score)}


def _auroc_interval(units: Units, confidence: float) -> tuple[Interval, str | None]:
    """DeLong's interval; Newcombe's where the classes are separated and DeLong's has no width.

    Where DeLong's variance is 0 or undefined otherwise, there is none: scores are all equal, or a class has one
    member (of clustered units: lies in one study).
    """
    result = auc_covariance(units.label, units.score[None], units.study)
    auc, variance = float(result.auc[0]), float(result.covariance[0, 0])
    if auc in (0.0, 1.0):
        return newcombe(auc, *_independent_counts(units), confidence), NEWCOMBE
    if not variance > 0:
        return UNDEFINED, None
    return wald(auc, variance, confidence), DELONG if units.study is None else CLUSTERED_DELONG


def _independent_counts(units: Units) -> tuple[int, int]:
    """Count positives and negatives; of units that come several to a study, the studies with any."""
    if units.study is None:
        return int(units.label.sum()), int((~units.label).sum())
    return np.unique(units.study[units.label]).size, np.unique(units.study[~units.label]).size


def _proportions(units: Units, threshold: float, counts: Confusion, confidence: float) -> Json:
    called, label = units.probability >= threshold, units.label
    parts = {
        "sensitivity": (counts.sensitivity, called & label, label),
        "specificity": (counts.specificity, ~called & ~label, ~label),
        "ppv": (counts.ppv, called & label, called),
        "npv": (counts.npv, ~called & ~label, ~called),
    }
    block: Json = {}
    for name, (value, hits, of) in parts.items():
        block |= {name: value, f"{name}_ci": _proportion_interval(units, hits, of, confidence)}
    return block | {"proportion_ci_method": WILSON if units.study is None else CLUSTER_BOOTSTRAP}


def _proportion_interval(units: Units, hits: BoolArray, of: BoolArray, confidence: float) -> Interval:
    """Wilson's interval; for units of studies the bootstrap's, or Wilson's over studies if all agree."""
    n_hits, n = int(hits.sum()), int(of.sum())
    if units.study is None or units.weights is None:
        return wilson(n_hits, n, confidence)
    if n_hits in (0, n):
        n_studies = np.unique(units.study[of]).size
        return wilson(n_studies if n_hits else 0, n_studies, confidence)
    if np.unique(units.study[of]).size < 2:
        return UNDEFINED
    replicates = replicate_ratio(hits.astype(np.float64), of.astype(np.float64), units.study, units.weights)
    return percentile_interval(replicates, confidence)


def _probability(units: Units) -> Json:
    """How good the values are as probabilities: after calibration, and before."""
    label, after, before = units.label, units.probability, units.score
    errors = _errors(label, after)
    raw = errors if before is after else _errors(label, before)
    return {
        **errors,
        "calibration_slope": metrics.calibration_slope(label, after),
        "calibration_intercept": metrics.calibration_intercept(label, after),
        **{f"{name}_raw": value for name, value in raw.items()},
    }


def _errors(label: BoolArray, probability: FloatArray) -> Json:
    return {
        "brier": metrics.brier(label, probability),
        "ece": metrics.expected_calibration_error(label, probability),
        "log_loss": metrics.log_loss(label, probability),
    }


def _reason(block: Json, units: Units) -> str | None:
    """Say why metrics of the block are undefined."""
    undefined = [name for name, value in block.items() if value is not None and jsonable(value) is None]
    whys = {
        _why_of_all(block, units): [name for name in undefined if name[:3] not in ("ppv", "npv")],
        _why_of_calls("positive", block["ppv"]): [name for name in undefined if name.startswith("ppv")],
        _why_of_calls("negative", block["npv"]): [name for name in undefined if name.startswith("npv")],
    }
    return "; ".join(f"{why}: {', '.join(names)} not defined" for why, names in whys.items() if names) or None


def _why_of_calls(kind: str, value: float) -> str:
    return f"no case is called {kind}" if math.isnan(value) else f"all that are called {kind} lie in one study"


def _why_of_all(block: Json, units: Units) -> str:
    n, n_positive = block["n"], block["n_positive"]
    if n == 0:
        return "no labelled cases"
    if n_positive in (0, n):
        return f"{n_positive} of {n} are positive"
    if np.ptp(units.score) == 0:
        return "all scores are equal"
    if min(_independent_counts(units)) < 2:
        return "one class has a single " + ("case" if units.study is None else "study")
    return f"{n_positive} of {n} are positive, too few or too well separated"
