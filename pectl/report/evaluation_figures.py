"""From the tables of an evaluation to its figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pectl.core.data.labels import EXAM_LABELS, UNKNOWN
from pectl.core.data.predictions import PE_PRESENT
from pectl.report.figures import (
    Scored,
    StudyScores,
    draw_calibration,
    draw_label_rocs,
    draw_levels,
    draw_scores,
)
from pectl.report.style import SavedFigure
from pectl.report.text import LABEL_TITLES, estimate

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


def draw_figures(metrics: Mapping[str, Any], tables: Tables, out: Path) -> list[SavedFigure]:
    """Draw every figure that the data allow, in the order of the report."""
    exam, blocks = tables.exam, metrics["exam"] or {}
    levels = [_scored_exam(exam, PE_PRESENT, blocks[PE_PRESENT], "Studies")] if blocks else []
    for level, key, column, title in _LEVELS:
        part = getattr(tables, level)
        if part is not None:
            levels.append(_scored_units(part, column, metrics[level][key], title))
    saved = draw_levels(levels, out)
    if blocks:
        labels = [_scored_exam(exam, name, blocks[name], LABEL_TITLES[name]) for name in EXAM_LABELS]
        saved += [draw_label_rocs(labels, out), _calibration(exam, out), _scores(exam, blocks, out)]
    return saved


def _scored_exam(exam: pd.DataFrame, name: str, block: Mapping[str, Any], title: str) -> Scored:
    known = exam[exam[f"{name}_truth"].notna()]
    label, score = known[f"{name}_truth"].to_numpy() == 1, known[f"{name}_raw"].to_numpy(np.float64)
    return Scored(title, np.asarray(label, np.bool_), score, None, _auroc(block), _point(block))


def _scored_units(part: pd.DataFrame, column: str, block: Mapping[str, Any], title: str) -> Scored:
    known = part[part["label"] != UNKNOWN]
    study, _ = pd.factorize(known["StudyInstanceUID"])
    label, score = known["label"].to_numpy() == 1, known[column].to_numpy(np.float64)
    return Scored(title, np.asarray(label, np.bool_), score, study, _auroc(block), _point(block))


def _auroc(block: Mapping[str, Any]) -> str:
    return estimate(block["auroc"], block["auroc_ci"])


def _point(block: Mapping[str, Any]) -> tuple[float, float] | None:
    if block["sensitivity"] is None or block["specificity"] is None:
        return None
    return 1 - block["specificity"], block["sensitivity"]


def _calibration(exam: pd.DataFrame, out: Path) -> SavedFigure:
    known = exam[exam[f"{PE_PRESENT}_truth"].notna()]
    label = np.asarray(known[f"{PE_PRESENT}_truth"].to_numpy() == 1, np.bool_)
    versions = {
        title: known[f"{PE_PRESENT}_{version}"].to_numpy(np.float64)
        for version, title in (("raw", "as the model gives it"), ("calibrated", "calibrated"))
    }
    return draw_calibration(label, versions, out)


def _scores(exam: pd.DataFrame, blocks: Mapping[str, Any], out: Path) -> SavedFigure:
    score = exam[f"{PE_PRESENT}_calibrated"].to_numpy(np.float64)
    members = {
        "PE": exam[f"{PE_PRESENT}_truth"] == 1,
        "Indeterminate": exam["indeterminate_truth"] == 1,
        "No PE": exam["negative_exam_for_pe_truth"] == 1,
    }
    groups = {name: score[mask.to_numpy()] for name, mask in members.items() if mask.any()}
    return draw_scores(StudyScores(groups, blocks[PE_PRESENT]["threshold"]), out)
