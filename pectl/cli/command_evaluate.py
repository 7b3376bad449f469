"""`pectl evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pectl.cli.console import say
from pectl.cli.options import ConfigOption, Device, DeviceOption, QuietOption, SeedOption, SetOption

if TYPE_CHECKING:
    from pectl.config import Config

FeaturesArgument = Annotated[Path | None, typer.Argument(help="A feature store (with --stage2).")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of the evaluation.")]


def evaluate(
    out: OutOption,
    features: FeaturesArgument = None,
    stage2: Annotated[Path | None, typer.Option("--stage2", help="A finished run of train-stage2.")] = None,
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    predictions: Annotated[Path | None, typer.Option("--predictions", help="Predictions of any model, CSV.")] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="With --predictions: the labels, CSV.")] = None,
    explanations: Annotated[
        Path | None,
        typer.Option("--explanations", help="Folder of pectl explain --split, shown in the report."),
    ] = None,
    indeterminate: Annotated[
        str | None,
        typer.Option("--indeterminate", help="exclude or as-negative; overrides evaluate.indeterminate."),
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure a run, or any model's predictions, and write metrics.json, tables, figures and a report."""
    if (features is None or stage2 is None) == (predictions is None or labels is None):
        raise typer.BadParameter("give either FEATURES and --stage2, or --predictions and --labels")
    from pectl.config import load_config, write_config
    from pectl.report.evaluation_report import write_evaluation_report

    more = [] if indeterminate is None else [f"evaluate.indeterminate={indeterminate}"]
    resolved = load_config(config, [*(overrides or []), *more], seed)
    if features is not None and stage2 is not None:
        metrics = _evaluate_run(features, stage2, split, out, resolved, device)
    else:
        metrics = _evaluate_table(predictions, labels, out, resolved)  # type: ignore[arg-type]  # checked above
    write_config(resolved, out / "config.toml")
    report = write_evaluation_report(out, explain_summary=_explained(explanations, out))
    if not quiet:
        _show(metrics)
    say(f"report: {report}")


def _evaluate_run(
    features: Path, stage2: Path, split: str, out: Path, config: "Config", device: Device
) -> dict[str, Any]:
    from pectl.analysis.evaluate import evaluate as measure
    from pectl.core.data.feature_store import FeatureStore
    from pectl.core.data.files import read_json
    from pectl.core.decisions.decisions import Decisions
    from pectl.pipeline.predict import predict_split
    from pectl.pipeline.run import read_run

    store = FeatureStore.open(features)
    predictions = predict_split(store, stage2, split, device=device)
    decisions = Decisions.from_json(read_json(stage2 / "decisions.json", made_by="pectl train-stage2"))
    lineage = {
        **store.stamp.made_from, "features": store.stamp.digest, "stage2": read_run(stage2, stage="stage2")[0].digest,
        "split_method": config.split.method,
    }  # fmt: skip
    return measure(predictions, store.studies, decisions, config.evaluate, out=out, lineage=lineage, seed=config.seed)


def _evaluate_table(predictions: Path, labels: Path, out: Path, config: "Config") -> dict[str, Any]:
    from pectl.analysis.evaluate import evaluate as measure
    from pectl.core.data.labels import read_labels
    from pectl.core.data.predictions_csv import match_labels, read_predictions

    known = read_labels(labels)
    matched, truth = match_labels(read_predictions(predictions), known.exam, known.image)
    lineage = {"predictions": predictions.name, "labels": labels.name, "split_method": "external"}
    return measure(matched, truth, None, config.evaluate, out=out, lineage=lineage, seed=config.seed)


def _explained(folder: Path | None, out: Path) -> dict[str, Any] | None:
    """Read the summary of `pectl explain --split`, its paths made relative to the report's folder."""
    if folder is None:
        return None
    import os

    from pectl.core.data.files import read_json

    summary = read_json(folder / "summary.json", made_by="pectl explain --split")
    for shown in summary["studies"].values():
        for name in ("image", "link"):
            shown[name] = os.path.relpath(folder / shown[name], out)  # Path.relative_to doesn't climb before 3.12
    return summary


def _show(metrics: dict[str, Any]) -> None:
    from rich.table import Table

    from pectl.cli.console import console

    table = Table(
        "level",
        "label",
        "n",
        "positive",
        "AUROC",
        "95% CI",
        title=f"split {metrics['split']}",
        title_justify="left",
    )
    for level in ("window", "image", "exam"):
        for label, block in (metrics.get(level) or {}).items():
            if isinstance(block, dict) and "auroc" in block:
                ci = block["auroc_ci"]
                area = "-" if block["auroc"] is None else f"{block['auroc']:.3f}"
                interval = f"{ci[0]:.3f} to {ci[1]:.3f}" if ci and None not in ci else "-"
                table.add_row(level, label, str(block["n"]), str(block["n_positive"]), area, interval)
    console().print(table)
