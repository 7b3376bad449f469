"""`pectl evaluate`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pectl.cli.console import say
from pectl.cli.judged import FeaturesArgument, LabelsOption, PredictionsOption, Stage2Option, read_judged
from pectl.cli.options import ConfigOption, DeviceOption, QuietOption, SeedOption, SetOption

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
        Path | None,
        typer.Option("--truth", help="A store with masks, or a phantom cohort: subgroups by size of the emboli."),
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
    from pectl.config import load_config

    asked = {"indeterminate": indeterminate, "prevalence": prevalence, "submission": submission}
    resolved = load_config(config, [*(overrides or []), *_overrides(asked)], seed)

    from pectl.steps.evaluate import evaluate as run  # after what may be refused at once

    judged = read_judged((features, stage2), (predictions, labels), split=split, device=device)
    metrics = run(judged, out, resolved, decisions=decisions, explanations=explanations, truth=truth)
    if not quiet:
        _show(metrics)
    from pectl.report.evaluation.page import REPORT_NAME

    say(f"report: {out / REPORT_NAME}")


def _overrides(asked: Mapping[str, object]) -> list[str]:
    """Return what was asked for by options as overrides of the configuration."""
    return [f"evaluate.{name}={str(value).lower()}" for name, value in asked.items() if value is not None]


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
