"""What `evaluate` and `calibrate` judge: a run's predictions of a split, or a table of any model's."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pectl.cli.options import Device

if TYPE_CHECKING:
    import pandas as pd

    from pectl.core.decisions.decisions import Decisions
    from pectl.core.labels.predictions import Predictions

FeaturesArgument = Annotated[Path | None, typer.Argument(help="A feature store (with --stage2).")]
Stage2Option = Annotated[Path | None, typer.Option("--stage2", help="A finished run of train-stage2.")]
PredictionsOption = Annotated[
    list[Path] | None, typer.Option("--predictions", help="Predictions of any model, CSV; repeatable.")
]
LabelsOption = Annotated[
    list[Path] | None,
    typer.Option("--labels", help="With --predictions: labels, CSV, by image or by study; repeatable."),
]
Tables = tuple[list[Path] | None, list[Path] | None]


@dataclass(frozen=True)
class Judged:
    """Predictions beside their truth, what they were made from, and the decisions that came with the run."""

    predictions: "Predictions"
    truth: "pd.DataFrame"
    lineage: dict[str, Any]
    decisions: "Decisions | None" = None


def read_judged(run: tuple[Path | None, Path | None], tables: Tables, *, split: str, device: Device) -> Judged:
    """Read one of the two sources.

    Args:
        run: feature store and stage 2 run, or None and None.
        tables: predictions and labels, or None and None.
        split: of the feature store.
        device: where stage 2 runs.

    Raises:
        typer.BadParameter: not exactly one source is given whole.
    """
    (features, stage2), (predictions, labels) = run, tables
    if features is not None and stage2 is not None and not predictions and not labels:
        return _of_run(features, stage2, split, device)
    if predictions and labels and features is None and stage2 is None:
        return _of_tables(predictions, labels)
    raise typer.BadParameter("give either FEATURES and --stage2, or --predictions and --labels")


def read_decisions(path: Path, judged: Judged) -> "Decisions":
    """Read what calibrate fitted; refuse it if it was fitted on another model's predictions."""
    from pectl.core.decisions.decisions import Decisions
    from pectl.core.storage.files import read_json

    decisions = Decisions.from_json(read_json(path, made_by="pectl calibrate"))
    decisions.check_fitted_for(judged.lineage.get("stage2"))
    return decisions


def _of_run(features: Path, stage2: Path, split: str, device: Device) -> Judged:
    from pectl.core.decisions.decisions import Decisions
    from pectl.core.storage.files import read_json
    from pectl.core.stores.feature_store import FeatureStore
    from pectl.steps.predict import predict_split
    from pectl.training.run import read_run

    store = FeatureStore.open(features)
    predictions = predict_split(store, stage2, split, device=device)
    digest = read_run(stage2, stage="stage2")[0].digest
    lineage = {**store.stamp.made_from, "features": store.stamp.digest, "stage2": digest}
    lineage |= _split_of(store.studies["series_uid"], predictions)
    decisions = Decisions.from_json(read_json(stage2 / "decisions.json", made_by="pectl train-stage2"))
    return Judged(predictions, store.studies, lineage, decisions)


def _of_tables(predictions: list[Path], labels: list[Path]) -> Judged:
    import pandas as pd

    from pectl.core.labels.predictions_csv import match_labels, read_predictions
    from pectl.core.labels.truth import read_truth
    from pectl.core.storage.files import file_digest

    known = read_truth(labels)
    matched, truth = match_labels(read_predictions(predictions), known)
    named = {"predictions": predictions, "labels": labels}
    lineage = {
        name: ", ".join(f"{path.name} (sha256 {file_digest(path)})" for path in paths) for name, paths in named.items()
    }
    series = known.exam["SeriesInstanceUID"] if "SeriesInstanceUID" in known.exam else pd.Series()
    return Judged(matched, truth, lineage | _split_of(series, matched))


def _split_of(series_uid: "pd.Series[str]", predictions: "Predictions") -> dict[str, Any]:
    """Say so if the studies are those that the paper's method holds out of the cohort, which makes it comparable."""
    from pectl.core.labels.splits import is_ma2022_test

    is_papers = is_ma2022_test(series_uid, predictions.uids())
    return {"split_method": "ma2022", "cohort": len(series_uid)} if is_papers else {}
