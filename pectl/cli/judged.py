"""What `evaluate` and `calibrate` judge: a run's predictions of a split, or a table of any model's."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pectl.cli.options import Device

if TYPE_CHECKING:
    import pandas as pd

    from pectl.core.data.predictions import Predictions
    from pectl.core.decisions.decisions import Decisions

FeaturesArgument = Annotated[Path | None, typer.Argument(help="A feature store (with --stage2).")]
Stage2Option = Annotated[Path | None, typer.Option("--stage2", help="A finished run of train-stage2.")]
PredictionsOption = Annotated[Path | None, typer.Option("--predictions", help="Predictions of any model, CSV.")]
LabelsOption = Annotated[
    Path | None,
    typer.Option("--labels", help="With --predictions: the labels, CSV; by image as train.csv, or by study."),
]


@dataclass(frozen=True)
class Judged:
    """Predictions beside their truth, what they were made from, and the decisions that came with the run."""

    predictions: "Predictions"
    truth: "pd.DataFrame"
    lineage: dict[str, Any]
    decisions: "Decisions | None" = None


def read_judged(
    run: tuple[Path | None, Path | None], table: tuple[Path | None, Path | None], *, split: str, device: Device
) -> Judged:
    """Read one of the two sources.

    Args:
        run: feature store and stage 2 run, or None and None.
        table: predictions and labels, or None and None.
        split: of the feature store.
        device: where stage 2 runs.

    Raises:
        typer.BadParameter: not exactly one source is given whole.
    """
    (features, stage2), (predictions, labels) = run, table
    whole_run = features is not None and stage2 is not None
    whole_table = predictions is not None and labels is not None
    if whole_run == whole_table or any(part is not None for part in (table if whole_run else run)):
        raise typer.BadParameter("give either FEATURES and --stage2, or --predictions and --labels")
    if features is not None and stage2 is not None:
        return _of_run(features, stage2, split, device)
    return _of_table(predictions, labels)  # type: ignore[arg-type]  # checked above


def read_decisions(path: Path, judged: Judged) -> "Decisions":
    """Read what calibrate fitted; refuse it if it was fitted on another model's predictions."""
    from pectl.core.data.files import read_json
    from pectl.core.decisions.decisions import Decisions

    decisions = Decisions.from_json(read_json(path, made_by="pectl calibrate"))
    decisions.check_fitted_for(judged.lineage.get("stage2"))
    return decisions


def _of_run(features: Path, stage2: Path, split: str, device: Device) -> Judged:
    from pectl.core.data.feature_store import FeatureStore
    from pectl.core.data.files import read_json
    from pectl.core.decisions.decisions import Decisions
    from pectl.pipeline.predict import predict_split
    from pectl.pipeline.run import read_run

    store = FeatureStore.open(features)
    predictions = predict_split(store, stage2, split, device=device)
    digest = read_run(stage2, stage="stage2")[0].digest
    lineage = {**store.stamp.made_from, "features": store.stamp.digest, "stage2": digest}
    decisions = Decisions.from_json(read_json(stage2 / "decisions.json", made_by="pectl train-stage2"))
    return Judged(predictions, store.studies, lineage, decisions)


def _of_table(predictions: Path, labels: Path) -> Judged:
    from pectl.core.data.labels import read_truth
    from pectl.core.data.predictions_csv import match_labels, read_predictions

    matched, truth = match_labels(read_predictions(predictions), *read_truth(labels))
    return Judged(matched, truth, {"predictions": predictions.name, "labels": labels.name})
