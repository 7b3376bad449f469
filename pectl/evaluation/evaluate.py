"""Measure a model's predictions with frozen decisions, and write `metrics.json` and the tables beside it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pectl.config import EvaluateConfig
from pectl.core.decisions.consistency import Projection, clipping_heuristic, project, violations
from pectl.core.decisions.decisions import IMAGE_SCORE, STAGE1_SCORE, WINDOW_SCORE, Decisions
from pectl.core.labels.names import PE_PRESENT, STUDY, UNKNOWN
from pectl.core.labels.predictions import EXTERNAL, Predictions, as_competition
from pectl.core.statistics.bootstrap import study_weights
from pectl.core.statistics.ranking import FloatArray
from pectl.core.storage.files import write_json
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.evaluation.competition import competition_loss
from pectl.evaluation.exam_level import JudgedExams, exam_level, exam_subgroups, judged_exams
from pectl.evaluation.feature_map import feature_map
from pectl.evaluation.measure import Json, Units, jsonable, measure_decided
from pectl.evaluation.paper_results import paper_block
from pectl.evaluation.tables import write_submission, write_tables

STAGE1 = "pe_present_stage1"


def evaluate(  # noqa: PLR0913 - what is judged, by what, and where the result goes
    predictions: Predictions,
    truth: pd.DataFrame,
    decisions: Decisions | None,
    config: EvaluateConfig,
    *,
    out: Path,
    lineage: Mapping[str, Any],
    seed: int,
) -> Json:
    """Measure predictions at exam, window and image level; write and return the content of `metrics.json`.

    Args:
        predictions: of the split that is judged; windows and images carry their labels.
        truth: exam labels, index StudyInstanceUID, nine columns 0, 1 or NaN (unknown, or not defined).
            Further columns that `subgroups` knows (QA labels, kernel, slice_step_mm ...) make subgroups.
        decisions: fitted on validation; None where there is none: thresholds 0.5, nothing calibrated.
        config: intervals, and how indeterminate studies count in `pe_present`.
        out: folder for metrics.json, decisions.json and the tables; those of an earlier evaluation go.
        lineage: digests of what the predictions were made from; `split_method` and `cohort` (the number of
            studies that were split) decide whether the paper's figures are comparable.
        seed: of the bootstrap; the same seed gives the same bytes.

    Raises:
        PredictionsError: the decisions were fitted on these studies, or a study has no labels.
    """
    decisions = decisions or Decisions()
    decisions.check_not_fitted_on(predictions)
    predictions = decisions.scored(predictions)
    exams = judged_exams(predictions, truth, decisions)
    projection = project(exams.answers, predictions.image, one_ratio=exams.one_ratio)
    places = feature_map(predictions, seed)
    result = {
        **_head(predictions, decisions, config, seed),
        "window": _window_level(predictions.window, decisions, config, seed),
        "image": _image_level(predictions.image, decisions, config, seed),
        "exam": exam_level(exams, decisions, config),
        "subgroups": exam_subgroups(exams, predictions.image, decisions, config),
        **_competition(predictions, exams, projection),
        "feature_map": None if places is None else {"n_windows": len(places)},
        "missing": _missing(predictions),
        "notes": [*predictions.notes, *_image_notes(predictions, decisions)],
        "lineage": dict(lineage),
        "paper": paper_block(lineage),
    }
    write_tables(out, predictions, exams, projection, places)
    if config.submission:
        write_submission(out, projection)
    write_json(out / "decisions.json", decisions.to_json())
    write_json(out / "metrics.json", result)
    return result


def _head(predictions: Predictions, decisions: Decisions, config: EvaluateConfig, seed: int) -> Json:
    place = "labelled predictions" if decisions.split == EXTERNAL else f"the split {decisions.split!r}"
    fitted = f"thresholds and calibration fitted on {place} of {decisions.n_studies:,} other studies"
    unfitted = "thresholds fixed at 0.5, nothing calibrated"
    return {
        "split": predictions.split,
        "n_studies": len(predictions.uids()),
        "use": RESEARCH_USE,
        "seed": seed,
        "confidence": config.confidence,
        "bootstrap_replicates": config.bootstrap_replicates,
        "indeterminate": config.indeterminate,
        "decisions": unfitted if decisions.split is None else fitted,
        "decisions_fitted": decisions.split is not None,
    }


def _window_level(window: pd.DataFrame | None, decisions: Decisions, config: EvaluateConfig, seed: int) -> Json | None:
    if window is None:
        return None
    known = window[window["label"] != UNKNOWN]
    final = _clustered_units(known, "score", config, seed)
    stage1 = replace(final, score=(score := _floats(known["stage1_score"])), probability=score)
    return {
        PE_PRESENT: measure_decided(final, decisions, WINDOW_SCORE, config),
        STAGE1: measure_decided(stage1, decisions, STAGE1_SCORE, config),
    }


def _image_level(image: pd.DataFrame | None, decisions: Decisions, config: EvaluateConfig, seed: int) -> Json | None:
    if image is None:
        return None
    known = image[image["label"] != UNKNOWN]
    return {PE_PRESENT: measure_decided(_clustered_units(known, "score", config, seed), decisions, IMAGE_SCORE, config)}


def _clustered_units(part: pd.DataFrame, column: str, config: EvaluateConfig, seed: int) -> Units:
    study, uids = pd.factorize(part[STUDY], sort=True)
    weights = study_weights(len(uids), replicates=config.bootstrap_replicates, seed=seed)
    score = _floats(part[column])
    return Units(part["label"].to_numpy() == 1, score, score, study=study, weights=weights)


def _competition(predictions: Predictions, exams: JudgedExams, projection: Projection) -> Json:
    """The competition's loss of the submission, and what consistency costs in it."""
    image, truth, answers = predictions.image, exams.truth, exams.answers
    before = competition_loss(truth, answers, image)
    after = competition_loss(truth, projection.exam, projection.image)
    heuristic = clipping_heuristic(answers, image, one_ratio=exams.one_ratio)
    clipped = competition_loss(truth, heuristic.exam, heuristic.image)
    raw_answers = as_competition(exams.raw, exams.rv_lv)
    raw = competition_loss(truth, raw_answers, image)
    return {
        "competition": {
            "weighted_log_loss": jsonable(after.total),
            "exam_log_loss": jsonable(after.exam),
            "image_log_loss": jsonable(after.image),
            "weighted_log_loss_before_projection": jsonable(before.total),
            "weighted_log_loss_raw": jsonable(raw.total),
        },
        "consistency": {
            "violations": int(violations(projection.exam, projection.image).sum()),
            "cost": jsonable(after.total - before.total),
            "violations_before": int(violations(answers, image).sum()),
            "violations_raw": int(violations(raw_answers, image).sum()),
            "clipping_heuristic_cost": jsonable(clipped.total - before.total),
            "expected_cost_per_study": jsonable(float(projection.cost.mean())),
        },
    }


def _missing(predictions: Predictions) -> list[str]:
    parts = {
        "exam": not predictions.exam.empty,
        "window": predictions.window is not None,
        "image": predictions.image is not None,
    }
    return [f"no {name} predictions: the {name} level isn't measured" for name, there in parts.items() if not there]


def _image_notes(predictions: Predictions, decisions: Decisions) -> list[str]:
    """Say so if the scores of images are made of their logits without a fit."""
    if predictions.image_logits is None or decisions.image_fusion.kind != "mean":
        return []
    reason = decisions.image_fusion.reason or "not fitted"
    return [f"images are scored by the mean of the logits of slice and windows ({reason})"]


def _floats(column: pd.Series) -> FloatArray:
    return column.to_numpy(np.float64)
