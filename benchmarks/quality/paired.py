"""Measures of each variant on the same test studies, their differences, and intervals by one bootstrap over studies.

A measure is the mean over the seeds that a variant was trained with. A replicate draws studies, the same for every
variant, seed and measure, so differences are paired. The intervals hold for other studies; the seeds are what they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pectl.core.labels.names import COMPETITION_WEIGHTS, EXAM_LABELS, IMAGE_WEIGHT, PE_PRESENT
from pectl.core.statistics.bootstrap import (
    Weights,
    percentile_interval,
    replicate_auroc,
    replicate_ratio,
    study_weights,
)
from pectl.core.statistics.metrics import log_losses
from pectl.core.storage.files import read_json

_STUDY = "StudyInstanceUID"
_WINDOW = [_STUDY, "window_start"]
REPLICATES = 2000


@dataclass(frozen=True)
class Tables:
    """What `pectl evaluate` wrote of one variant and seed."""

    exam: pd.DataFrame
    window: pd.DataFrame
    image: pd.DataFrame
    window_threshold: float

    @classmethod
    def read(cls, evaluation: Path) -> "Tables":
        """Read a folder of evaluation."""
        names = {_STUDY: str, "SOPInstanceUID": str}
        exam, window, image = (
            pd.read_csv(evaluation / f"{part}.csv", dtype=names) for part in ("exam", "window", "image")
        )
        threshold = read_json(evaluation / "metrics.json", made_by="pectl evaluate")["window"][PE_PRESENT]["threshold"]
        return cls(exam, window, image, float(threshold))

    def on(self, windows: pd.MultiIndex) -> "Tables":
        """Keep the windows that all variants have."""
        chosen = self.window.set_index(_WINDOW).loc[windows].reset_index()
        return Tables(self.exam, chosen, self.image, self.window_threshold)


@dataclass(frozen=True)
class Measured:
    """A measure's value, and its (R,) replicates."""

    value: float
    replicates: NDArray[np.float64]

    def __sub__(self, other: "Measured") -> "Measured":
        """Return the paired difference."""
        return Measured(self.value - other.value, self.replicates - other.replicates)

    def interval(self) -> tuple[float, float]:
        """Return the 95 % percentile interval."""
        return percentile_interval(self.replicates, 0.95)


Results = dict[str, dict[str, Measured]]
"""Measures by name, by variant."""
Statistic = Callable[[Tables, "Draws"], NDArray[np.float64]]


@dataclass(frozen=True)
class Draws:
    """The studies, and how often each is drawn: column 0 once each, the others by chance."""

    uids: pd.Index
    weights: Weights

    @classmethod
    def over(cls, uids: pd.Index, *, seed: int = 0) -> "Draws":
        """Draw REPLICATES times."""
        drawn = study_weights(len(uids), replicates=REPLICATES, seed=seed)
        return cls(uids, np.concatenate([np.ones((len(uids), 1), np.float32), drawn], axis=1))

    def rows(self, table: pd.DataFrame) -> NDArray[np.intp]:
        """Return the row of `weights` of each row of a table."""
        return self.uids.get_indexer(table[_STUDY])


def measure(seeds: Sequence[Tables], statistic: Statistic, draws: Draws) -> Measured:
    """Return a measure, averaged over seeds."""
    values = np.mean([statistic(tables, draws) for tables in seeds], axis=0)
    return Measured(float(values[0]), values[1:])


def measure_all(rows: Mapping[str, Sequence[Tables]], measures: Mapping[str, Statistic], draws: Draws) -> Results:
    """Return every measure of every row, each a name and the tables of its seeds."""
    return {
        name: {what: measure(seeds, statistic, draws) for what, statistic in measures.items()}
        for name, seeds in rows.items()
    }


def differences(one: Mapping[str, Measured], other: Mapping[str, Measured]) -> dict[str, Measured]:
    """Return the paired difference of each measure."""
    return {what: one[what] - other[what] for what in other}


def common_windows(tables: Sequence[Tables]) -> pd.MultiIndex:
    """Return the windows that all have and whose label is known, sorted."""
    known = [pd.MultiIndex.from_frame(part.window.loc[part.window["label"] >= 0, _WINDOW]) for part in tables]
    shared = known[0]
    for other in known[1:]:
        shared = shared.intersection(other)
    return shared.sort_values()


def window_auroc(column: str) -> Statistic:
    """AUROC over windows."""

    def statistic(tables: Tables, draws: Draws) -> NDArray[np.float64]:
        part = tables.window
        score = part[column].to_numpy(np.float64)
        return replicate_auroc(part["label"].to_numpy() == 1, score, draws.rows(part), draws.weights)

    return statistic


def window_sensitivity(tables: Tables, draws: Draws) -> NDArray[np.float64]:
    """Sensitivity over windows at the threshold that had a specificity of 0.85 on validation."""
    part = tables.window
    positive = (part["label"] == 1).to_numpy(np.float64)
    called = (part["score"] >= tables.window_threshold).to_numpy(np.float64)
    return replicate_ratio(positive * called, positive, draws.rows(part), draws.weights)


def window_specificity(tables: Tables, draws: Draws) -> NDArray[np.float64]:
    """Specificity at the same threshold."""
    part = tables.window
    negative = (part["label"] == 0).to_numpy(np.float64)
    passed = (part["score"] < tables.window_threshold).to_numpy(np.float64)
    return replicate_ratio(negative * passed, negative, draws.rows(part), draws.weights)


def exam_auroc(label: str) -> Statistic:
    """AUROC over the studies in which a label is defined."""

    def statistic(tables: Tables, draws: Draws) -> NDArray[np.float64]:
        part = tables.exam[tables.exam[f"{label}_truth"].notna()]
        truth, score = part[f"{label}_truth"].to_numpy() == 1, part[f"{label}_raw"].to_numpy(np.float64)
        return replicate_auroc(truth, score, draws.rows(part), draws.weights)

    return statistic


def competition_loss(tables: Tables, draws: Draws) -> NDArray[np.float64]:
    """The competition's weighted log loss of the consistent answers; RV/LV counts as 0 in studies without PE."""
    names = list(EXAM_LABELS)
    truth = tables.exam[[f"{name}_truth" for name in names]].fillna(0.0).to_numpy(np.float64)
    losses = log_losses(truth, tables.exam[[f"{name}_consistent" for name in names]].to_numpy(np.float64))
    weights = np.broadcast_to([COMPETITION_WEIGHTS[name] for name in names], losses.shape)
    image = tables.image[tables.image["label"] >= 0]
    share = image.groupby(_STUDY)["label"].transform("mean").to_numpy(np.float64)
    label, answer = (image[name].to_numpy(np.float64) for name in ("label", "consistent"))
    parts = [(losses * weights).sum(1), IMAGE_WEIGHT * share * log_losses(label, answer)]
    wholes = [weights.sum(1), IMAGE_WEIGHT * share]
    rows = np.concatenate([draws.rows(tables.exam), draws.rows(image)])
    return replicate_ratio(np.concatenate(parts), np.concatenate(wholes), rows, draws.weights)


def table(title: str, rows: Results, cell: Callable[[Measured], str]) -> str:
    """Return a Markdown table: a row for each variant, a column for each measure."""
    names = list(next(iter(rows.values())))
    lines = [f"| {title} | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(cell(row[what]) for what in names) + " |" for name, row in rows.items()]
    return "\n".join(lines)


def value_text(measured: Measured) -> str:
    """Write a value with its interval."""
    return f"{measured.value:.3f} ({_bounds(measured)})"


def difference_text(measured: Measured) -> str:
    """Write a difference with its interval, in bold where that excludes 0."""
    low, high = measured.interval()
    mark = "**" if low > 0 or high < 0 else ""
    return f"{mark}{measured.value:+.3f}{mark} ({_bounds(measured)})"


def _bounds(measured: Measured) -> str:
    low, high = measured.interval()
    return f"{low:.3f} to {high:.3f}"


def plain(results: Results) -> dict[str, object]:
    """Return the results as JSON takes them."""
    return {
        name: {what: {"value": one.value, "ci": list(one.interval())} for what, one in row.items()}
        for name, row in results.items()
    }
