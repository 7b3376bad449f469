"""What `evaluate` and `calibrate` judge: a run's predictions of a split, or tables of any model's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pectl.core.decisions.decisions import Decisions
from pectl.core.labels.names import SERIES
from pectl.core.labels.predictions import Predictions
from pectl.core.labels.predictions_csv import match_labels, read_predictions
from pectl.core.labels.splits import is_ma2022_test
from pectl.core.labels.truth import read_truth
from pectl.core.storage.files import file_digest, read_json
from pectl.core.stores.runs import read_run

if TYPE_CHECKING:  # torch comes with it
    from pectl.inference.device import DeviceName


@dataclass(frozen=True)
class Judged:
    """Predictions beside their truth.

    Attributes:
        predictions: of one split, or of tables.
        truth: exam labels and properties of the predicted studies, by StudyInstanceUID.
        lineage: what the predictions were made from.
        decisions: calibrators and thresholds that came with the run; None for tables.
    """

    predictions: Predictions
    truth: pd.DataFrame
    lineage: dict[str, Any]
    decisions: Decisions | None = None


def judge_run(features: Path, stage2: Path, *, split: str, device: "DeviceName") -> Judged:
    """Predict a split of a feature store with a finished run of train-stage2.

    Raises:
        StoreError: one of them isn't whole.
        LineageError: they don't belong to each other.
        SplitError: the split is empty, or the run was trained on one of its studies.
    """
    from pectl.core.stores.feature_store import FeatureStore  # h5py
    from pectl.steps.predict_split import predict_split  # torch: seconds of imports that tables needn't pay

    store = FeatureStore.open(features)
    predictions = predict_split(store, stage2, split, device=device)
    digest = read_run(stage2, stage="stage2")[0].digest
    lineage = {**store.stamp.made_from, "features": store.stamp.digest, "stage2": digest}
    lineage |= _split_of(store.studies["series_uid"], predictions)
    decisions = Decisions.from_json(read_json(stage2 / "decisions.json", made_by="pectl train-stage2"))
    return Judged(predictions, store.studies, lineage, decisions)


def judge_tables(predictions: Sequence[Path], labels: Sequence[Path]) -> Judged:
    """Read predictions of any model, and the labels of their studies.

    Raises:
        InputMissingError: no such file.
        PredictionsError: predictions that can't be used, or that have no labels.
        LabelsError: labels that can't be used.
    """
    known = read_truth(labels)
    matched, truth = match_labels(read_predictions(predictions), known)
    named = {"predictions": predictions, "labels": labels}
    lineage = {
        name: ", ".join(f"{path.name} (sha256 {file_digest(path)})" for path in paths) for name, paths in named.items()
    }
    series = known.exam[SERIES] if SERIES in known.exam else pd.Series()
    return Judged(matched, truth, lineage | _split_of(series, matched))


def read_decisions(path: Path, judged: Judged) -> Decisions:
    """Read what calibrate fitted.

    Raises:
        StoreError: no such file, or a damaged one.
        LineageError: it was fitted on another model's predictions.
    """
    decisions = Decisions.from_json(read_json(path, made_by="pectl calibrate"))
    decisions.check_fitted_for(judged.lineage.get("stage2"))
    return decisions


def _split_of(series_uid: "pd.Series[str]", predictions: Predictions) -> dict[str, Any]:
    """Say so if the studies are those that the paper's method holds out of the cohort, which makes it comparable."""
    is_papers = is_ma2022_test(series_uid, predictions.uids())
    return {"split_method": "ma2022", "cohort": len(series_uid)} if is_papers else {}
