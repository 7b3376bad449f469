"""Two evaluations side by side: paired tests of the difference in AUROC on the studies that both have."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pectl.config import EvaluateConfig
from pectl.core.labels.names import EXAM_LABELS, IMAGE, PE_PRESENT, STUDY, UNKNOWN
from pectl.core.statistics.bootstrap import IntArray, percentile_interval, replicate_auroc, study_weights
from pectl.core.statistics.delong import auc_covariance
from pectl.core.statistics.intervals import UNDEFINED, Interval, normal_quantile
from pectl.core.statistics.ranking import BoolArray, FloatArray
from pectl.core.storage.csv_table import read_csv
from pectl.core.storage.files import atomic_path, read_json, write_json
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.errors import PredictionsError
from pectl.evaluation.measure import Json, jsonable

_MADE_BY = "pectl evaluate"
_UNIT_KEYS = {"window": [STUDY, "window_start"], "image": [STUDY, IMAGE]}
_COLUMNS = (
    "level",
    "label",
    "n",
    "n_positive",
    "auroc_a",
    "auroc_b",
    "difference",
    "difference_ci",
    "difference_ci_bootstrap",
    "z",
    "p",
    "p_holm",
    "reason",
)


@dataclass(frozen=True)
class _Pair:
    """One label of one level as both models score it.

    Attributes:
        level: study, window or image.
        name: of the label.
        label: (n,).
        scores: (2, n).
        uids: (n,) StudyInstanceUID of each unit.
    """

    level: str
    name: str
    label: BoolArray
    scores: FloatArray
    uids: pd.Index


def compare(first: Path, second: Path, config: EvaluateConfig, *, out: Path, seed: int) -> Json:
    """Compare two evaluations of the same studies; write and return `comparison.json`, and `comparison.csv`.

    The difference is first - second. Interval and p by paired DeLong (Obuchowski's for windows and images), a
    second interval by a bootstrap that draws the same studies for both; p is corrected over all rows
    (Holm 1979).

    Args:
        first: folder that `evaluate` wrote.
        second: another.
        config: confidence and bootstrap replicates.
        out: folder for the result.
        seed: of the bootstrap.

    Raises:
        StoreError: a folder holds no metrics.json.
        InputMissingError: a table is gone.
        PredictionsError: the evaluations share no study, or disagree about the truth.
    """
    metrics = [read_json(folder / "metrics.json", made_by=_MADE_BY) for folder in (first, second)]
    pairs = _exam_pairs(first, second)
    for level in _UNIT_KEYS:
        if all(item[level] for item in metrics):
            pairs.append(_unit_pair(level, first, second))
    _refuse_nothing(pairs, first, second)
    rows = [_compared(pair, config, seed) for pair in pairs]
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    shared = {uid for pair in pairs for uid in pair.uids}
    result: Json = {
        "first": str(first),
        "second": str(second),
        "n_studies": len(shared),
        "confidence": config.confidence,
        "bootstrap_replicates": config.bootstrap_replicates,
        "seed": seed,
        "use": RESEARCH_USE,
        "rows": [{key: row[key] for key in _COLUMNS} for row in rows],
    }
    _write(out, result)
    return result


def holm(p_values: list[float | None]) -> list[float | None]:
    """Return Holm's step-down adjusted p values, in order; undefined ones don't count."""
    defined = [(p, index) for index, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(sorted(defined)):
        largest = max(largest, min(1.0, p * (len(defined) - rank)))
        adjusted[index] = largest
    return adjusted


def _exam_pairs(first: Path, second: Path) -> list[_Pair]:
    """Return a pair for each exam label of the studies that both have."""
    both = _joined(first, second, "exam", [STUDY])
    return [
        _pair("study", name, both, truth=f"{name}_truth", score=f"{name}_raw")
        for name in (PE_PRESENT, *EXAM_LABELS)
        if len(both)
    ]


def _unit_pair(level: str, first: Path, second: Path) -> _Pair:
    both = _joined(first, second, level, _UNIT_KEYS[level])
    labels = {f"label{side}": both[f"label{side}"].astype(float) for side in ("_a", "_b")}
    known = {name: column.mask(column == UNKNOWN) for name, column in labels.items()}
    return _pair(level, PE_PRESENT, both.assign(**known), truth="label", score="score")


def _refuse_nothing(pairs: list[_Pair], first: Path, second: Path) -> None:
    if not pairs:
        raise PredictionsError(
            where=f"{first} and {second}",
            expected="a level that both measured",
            found="none",
            fix="compare evaluations of exam, window or image predictions with each other",
        )


def _joined(first: Path, second: Path, table: str, keys: list[str]) -> pd.DataFrame:
    """Join the tables of both folders on what both have, sorted."""
    tables = [_read(folder / f"{table}.csv") for folder in (first, second)]
    both = tables[0].merge(tables[1], on=keys, suffixes=("_a", "_b")).sort_values(keys, kind="stable")
    if both.empty and not any(part.empty for part in tables):
        raise PredictionsError(
            where=f"{first} and {second}",
            expected=f"rows of {table}.csv that both have",
            found=f"none, as one has {tables[0][STUDY].iloc[0]} and the other {tables[1][STUDY].iloc[0]}",
            fix="compare evaluations of the same studies",
        )
    return both


def _pair(level: str, name: str, both: pd.DataFrame, *, truth: str, score: str) -> _Pair:
    ours, theirs = both[f"{truth}_a"], both[f"{truth}_b"]
    contradicted = (ours != theirs) & ours.notna() & theirs.notna()
    if contradicted.any():
        raise PredictionsError(
            where=f"{level} {name}",
            expected="the same truth in both evaluations",
            found=f"{contradicted.sum()} that differ, such as {both.loc[contradicted, STUDY].iloc[0]}",
            fix="evaluate both with the same labels",
        )
    known = both[ours.notna() & theirs.notna()]
    scores = known[[f"{score}_a", f"{score}_b"]].to_numpy(np.float64).T
    label = np.asarray(known[f"{truth}_a"].to_numpy() == 1, np.bool_)
    return _Pair(level, name, label, np.ascontiguousarray(scores), pd.Index(known[STUDY]))


def _compared(pair: _Pair, config: EvaluateConfig, seed: int) -> Json:
    n_positive = int(pair.label.sum())
    row: Json = {"level": pair.level, "label": pair.name, "n": pair.label.size, "n_positive": n_positive}
    if n_positive in (0, pair.label.size):
        reason = f"{n_positive} of {pair.label.size} are positive"
        return dict.fromkeys(_COLUMNS) | row | {"reason": reason}
    study, uids = pd.factorize(pair.uids)
    result = auc_covariance(pair.label, pair.scores, None if pair.level == "study" else study)
    difference, z, p = result.paired_test()
    bootstrap = _bootstrap_interval(pair, np.asarray(study), len(uids), config, seed)
    found = {
        "auroc_a": float(result.auc[0]),
        "auroc_b": float(result.auc[1]),
        "difference": difference,
        "difference_ci": _wald(difference, result.difference_variance(), config.confidence),
        "difference_ci_bootstrap": bootstrap,
        "z": z,
        "p": p,
        "reason": _why_untested(n_positive, pair.label.size - n_positive) if np.isnan(p) else None,
    }
    return row | {key: jsonable(value) for key, value in found.items()}


def _why_untested(n_positive: int, n_negative: int) -> str:
    if n_positive == 1 or n_negative == 1:
        return "a class with one member has no variance"
    return "both rank alike: the difference has no spread"


def _wald(difference: float, variance: float, confidence: float) -> Interval:
    if not variance > 0:
        return UNDEFINED
    half = float(normal_quantile(confidence) * np.sqrt(variance))
    return difference - half, difference + half


def _bootstrap_interval(pair: _Pair, study: IntArray, n_studies: int, config: EvaluateConfig, seed: int) -> Interval:
    weights = study_weights(n_studies, replicates=config.bootstrap_replicates, seed=seed)
    first, second = (replicate_auroc(pair.label, score, study, weights) for score in pair.scores)
    return percentile_interval(first - second, config.confidence)


def _read(path: Path) -> pd.DataFrame:
    return read_csv(
        path,
        what=f"a table that {_MADE_BY} writes",
        error=PredictionsError,
        fix=f"run {_MADE_BY} again",
        dtype={STUDY: str, IMAGE: str},
    )


def _write(out: Path, result: Json) -> None:
    table = pd.DataFrame(result["rows"], columns=list(_COLUMNS))
    for name in ("difference_ci", "difference_ci_bootstrap"):
        bounds = [bounds or (None, None) for bounds in table.pop(name)]
        table[f"{name}_low"], table[f"{name}_high"] = zip(*bounds, strict=True) if bounds else ([], [])
    with atomic_path(out / "comparison.csv") as temporary:
        table.to_csv(temporary, index=False)
    write_json(out / "comparison.json", result)
