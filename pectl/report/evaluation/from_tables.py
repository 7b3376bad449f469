"""From the tables of an evaluation to its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pectl.core.labels.names import EXAM_LABELS, PE_PRESENT, STUDY, UNKNOWN
from pectl.evaluation.subgroups import SMALL
from pectl.report.evaluation import content
from pectl.report.evaluation.feature_map_figure import draw_feature_map
from pectl.report.evaluation.figures import (
    Scored,
    StudyScores,
    draw_calibration,
    draw_label_rocs,
    draw_levels,
    draw_scores,
)
from pectl.report.forest_figure import ForestLine, draw_forest
from pectl.report.style import SavedFigure
from pectl.report.text import LABEL_TITLES, estimate, number

FIGURE_NAMES = ("roc", "precision_recall", "roc_labels", "calibration", "scores", "feature_map", "subgroups")
_LEVELS = (
    ("window", PE_PRESENT, "score", "Windows"),
    ("window", "pe_present_stage1", "stage1_score", "Windows, stage 1"),
    ("image", PE_PRESENT, "score", "Images"),
)


@dataclass(frozen=True)
class Tables:
    """The tables beside `metrics.json`, as read back; None where there were no such predictions."""

    exam: pd.DataFrame
    window: pd.DataFrame | None
    image: pd.DataFrame | None
    places: pd.DataFrame | None
    """Windows with their place on the feature map."""


def draw_figures(metrics: Mapping[str, Any], tables: Tables, out: Path) -> list[SavedFigure]:
    """Draw every figure that the data allow, in the order of the report; those of an earlier evaluation go."""
    for name in FIGURE_NAMES:
        for suffix in (".png", ".svg"):
            (out / f"{name}{suffix}").unlink(missing_ok=True)
    exam, blocks = tables.exam, metrics["exam"] or {}
    levels = [_scored_exam(exam, PE_PRESENT, blocks[PE_PRESENT], "Studies")] if blocks else []
    for level, key, column, title in _LEVELS:
        part = getattr(tables, level)
        if part is not None:
            levels.append(_scored_units(part, column, metrics[level][key], title))
    saved = draw_levels(levels, out)
    if blocks:
        labels = [_scored_exam(exam, name, blocks[name], LABEL_TITLES[name]) for name in EXAM_LABELS]
        saved += [draw_label_rocs(labels, out), _calibration(exam, blocks[PE_PRESENT], out), _scores(exam, blocks, out)]
    if tables.places is not None:
        saved.append(_feature_map(tables.places, out))
    rows = content.subgroup_rows(metrics)
    return saved + ([_subgroups(rows, out)] if any(row.bounds for row in rows) else [])


def _scored_exam(exam: pd.DataFrame, name: str, block: Mapping[str, Any], title: str) -> Scored:
    known = exam[exam[f"{name}_truth"].notna()]
    label, score = known[f"{name}_truth"].to_numpy() == 1, known[f"{name}_raw"].to_numpy(np.float64)
    return Scored(title, np.asarray(label, np.bool_), score, None, _auroc(block), _point(block))


def _scored_units(part: pd.DataFrame, column: str, block: Mapping[str, Any], title: str) -> Scored:
    known = part[part["label"] != UNKNOWN]
    study, _ = pd.factorize(known[STUDY])
    label, score = known["label"].to_numpy() == 1, known[column].to_numpy(np.float64)
    return Scored(title, np.asarray(label, np.bool_), score, study, _auroc(block), _point(block))


def _auroc(block: Mapping[str, Any]) -> str:
    return estimate(block["auroc"], block["auroc_ci"])


def _point(block: Mapping[str, Any]) -> tuple[float, float] | None:
    if block["sensitivity"] is None or block["specificity"] is None:
        return None
    return 1 - block["specificity"], block["sensitivity"]


def _calibration(exam: pd.DataFrame, block: Mapping[str, Any], out: Path) -> SavedFigure:
    """Draw probabilities as they came, and calibrated if anything was fitted."""
    known = exam[exam[f"{PE_PRESENT}_truth"].notna()]
    label = np.asarray(known[f"{PE_PRESENT}_truth"].to_numpy() == 1, np.bool_)
    titles = {"raw": f"as the model gives it, ECE {number(block['ece_raw'])}"}
    if (known[f"{PE_PRESENT}_raw"] != known[f"{PE_PRESENT}_calibrated"]).any():
        titles["calibrated"] = f"calibrated, ECE {number(block['ece'])}"
    versions = {title: known[f"{PE_PRESENT}_{version}"].to_numpy(np.float64) for version, title in titles.items()}
    return draw_calibration(label, versions, out)


def _feature_map(places: pd.DataFrame, out: Path) -> SavedFigure:
    x, y, score = (places[name].to_numpy(np.float64) for name in ("x", "y", "score"))
    return draw_feature_map(x, y, score, np.asarray(places["label"].to_numpy() == 1, np.bool_), out)


def _subgroups(rows: Sequence[content.Row], out: Path) -> SavedFigure:
    lines = [
        ForestLine(
            f"{row.title} (n = {row.block['n']:,})",
            row.block["auroc"],
            row.bounds,
            filled=row.block["warning"] is None,
            heading=row.level,
        )
        for row in rows
        if row.bounds is not None
    ]
    saved = SavedFigure(
        "subgroups",
        "AUROC of PE in subgroups",
        f"Hollow: fewer than {SMALL} studies in the smaller class. Dashed: a coin. Properties of PE itself "
        "are judged against all studies without PE.",
    )
    return draw_forest(lines, out, saved, xlabel="AUROC", reference=0.5)


def _scores(exam: pd.DataFrame, blocks: Mapping[str, Any], out: Path) -> SavedFigure:
    score = exam[f"{PE_PRESENT}_calibrated"].to_numpy(np.float64)
    members = {
        "PE": exam[f"{PE_PRESENT}_truth"] == 1,
        "Indeterminate": exam["indeterminate_truth"] == 1,
        "No PE": exam["negative_exam_for_pe_truth"] == 1,
    }
    groups = {name: score[mask.to_numpy()] for name, mask in members.items() if mask.any()}
    return draw_scores(StudyScores(groups, blocks[PE_PRESENT]["threshold"]), out)
