"""`pectl evaluate`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pectl.cli.console import say
from pectl.cli.judged import (
    FeaturesArgument,
    LabelsOption,
    PredictionsOption,
    Stage2Option,
    read_decisions,
    read_judged,
)
from pectl.cli.options import ConfigOption, DeviceOption, QuietOption, SeedOption, SetOption

if TYPE_CHECKING:
    import pandas as pd

    from pectl.cli.judged import Judged

OutOption = Annotated[Path, typer.Option("--out", help="Folder of the evaluation.")]


def evaluate(
    out: OutOption,
    features: FeaturesArgument = None,
    stage2: Stage2Option = None,
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    predictions: PredictionsOption = None,
    labels: LabelsOption = None,
    decisions: Annotated[
        Path | None,
        typer.Option("--decisions", help="Calibrators and thresholds of pectl calibrate; default: the run's own."),
    ] = None,
    explanations: Annotated[
        Path | None,
        typer.Option("--explanations", help="Folder of pectl explain --split, shown in the report."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="truth/ of a phantom cohort: subgroups by size of the emboli.")
    ] = None,
    indeterminate: Annotated[
        Literal["exclude", "as-negative"] | None,
        typer.Option("--indeterminate", help="How such studies count in pe_present; overrides the configuration."),
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option("--prevalence", help="Share of PE among your patients: PPV and NPV are given for it too."),
    ] = None,
    submission: Annotated[
        bool | None,
        typer.Option("--submission/--no-submission", help="Write the competition's submission.csv; default: do."),
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure a run, or any model's predictions.

    Writes metrics.json, tables, figures and a report.
    """
    from pectl.config import load_config, write_config
    from pectl.evaluation.evaluate import evaluate as measure
    from pectl.report.evaluation.page import write_evaluation_report

    asked = {"indeterminate": indeterminate, "prevalence": prevalence, "submission": submission}
    resolved = load_config(config, [*(overrides or []), *_overrides(asked)], seed)
    judged = read_judged((features, stage2), (predictions, labels), split=split, device=device)
    frozen = judged.decisions if decisions is None else read_decisions(decisions, judged)
    metrics = measure(
        judged.predictions,
        _with_sizes(judged, truth),
        frozen,
        resolved.evaluate,
        out=out,
        lineage=judged.lineage,
        seed=resolved.seed,
    )
    write_config(resolved, out / "config.toml")
    report = write_evaluation_report(out, explain_summary=_explained(explanations, out))
    if not quiet:
        _show(metrics)
    say(f"report: {report}")


def _overrides(asked: Mapping[str, object]) -> list[str]:
    """Return what was asked for by options as overrides of the configuration."""
    return [f"evaluate.{name}={str(value).lower()}" for name, value in asked.items() if value is not None]


def _with_sizes(judged: "Judged", folder: Path | None) -> "pd.DataFrame":
    """Return the truth, with the volume of the emboli where a phantom's truth tells it."""
    if folder is None:
        return judged.truth
    from pectl.core.stores.phantom_truth import embolus_volumes_ml

    sizes = embolus_volumes_ml(folder, judged.predictions.uids())
    return judged.truth.assign(embolus_volume_ml=sizes)


def _explained(folder: Path | None, out: Path) -> dict[str, Any] | None:
    """Read the summary of `pectl explain --split`, its paths made relative to the report's folder."""
    if folder is None:
        return None
    import os

    from pectl.core.storage.files import read_json

    summary = read_json(folder / "summary.json", made_by="pectl explain --split")
    for shown in summary["studies"].values():
        for name in ("image", "link"):
            shown[name] = os.path.relpath(folder / shown[name], out)  # Path.relative_to doesn't climb before 3.12
    return summary


def _show(metrics: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from pectl.cli.console import console

    table = Table(
        "level",
        "label",
        "n",
        "positive",
        "AUROC",
        f"{metrics['confidence']:.0%} CI",
        title=f"split {metrics['split']}",
        title_justify="left",
        box=SIMPLE_HEAD,
        collapse_padding=True,  # narrow: the longest label fits on 80 columns
        pad_edge=False,
    )
    for level in ("window", "image", "exam"):
        for label, block in (metrics.get(level) or {}).items():
            if isinstance(block, dict) and "auroc" in block:
                ci = block["auroc_ci"]
                area = "-" if block["auroc"] is None else f"{block['auroc']:.3f}"
                interval = f"{ci[0]:.3f} to {ci[1]:.3f}" if ci and None not in ci else "-"
                table.add_row(level, label, str(block["n"]), str(block["n_positive"]), area, interval)
    console().print(table)
