"""Measure predictions, and write what was measured: numbers, tables, figures and a report."""

import os
from pathlib import Path
from typing import Any

import pandas as pd

from pectl.config import Config, write_config
from pectl.core.storage.files import read_json
from pectl.evaluation.evaluate import evaluate as measure
from pectl.steps.judged import Judged, read_decisions


def evaluate(
    judged: Judged,
    out: Path,
    config: Config,
    *,
    decisions: Path | None = None,
    explanations: Path | None = None,
    truth: Path | None = None,
) -> dict[str, Any]:
    """Measure predictions and write the evaluation into a folder.

    Args:
        judged: predictions and their truth, of `judge_run` or `judge_tables`.
        out: folder of `metrics.json`, tables, figures, `report.html` and `config.toml`.
        config: the experiment; `evaluate` and `seed` are used.
        decisions: calibrators and thresholds of `calibrate`; None: the run's own.
        explanations: folder of `explain` on the same split, shown in the report.
        truth: a store with masks, or a phantom cohort: makes subgroups by the size of the emboli.

    Returns:
        The content of `metrics.json`.

    Raises:
        PredictionsError: the decisions were fitted on these studies, or a study has no labels.
        InputMissingError: a phantom has no truth there.
        StoreError: the explanations or decisions aren't there.
    """
    metrics = measure(
        judged.predictions,
        judged.truth if truth is None else _with_sizes(judged, truth),
        judged.decisions if decisions is None else read_decisions(decisions, judged),
        config.evaluate,
        out=out,
        lineage=judged.lineage,
        seed=config.seed,
    )
    from pectl.report.evaluation.page import write_evaluation_report  # matplotlib, which refused tables needn't pay

    write_config(config, out / "config.toml")
    write_evaluation_report(out, explain_summary=None if explanations is None else _explained(explanations, out))
    return metrics


def _with_sizes(judged: Judged, folder: Path) -> pd.DataFrame:
    """Return the truth with the volume of the emboli."""
    from pectl.core.places.truth import embolus_volumes_ml  # scipy.ndimage and h5py

    return judged.truth.assign(embolus_volume_ml=embolus_volumes_ml(folder, judged.predictions.uids()))


def _explained(folder: Path, out: Path) -> dict[str, Any]:
    """Read the summary of `pectl explain --split`, its paths made relative to the report's folder."""
    summary = read_json(folder / "summary.json", made_by="pectl explain --split")
    for shown in summary["studies"].values():
        for name in ("image", "link"):
            shown[name] = os.path.relpath(folder / shown[name], out)  # Path.relative_to doesn't climb before 3.12
    return summary
