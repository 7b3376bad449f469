"""What `evaluate` and `calibrate` are asked to judge, as options: a run's predictions, or tables of any model's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pectl.cli.options import Device

if TYPE_CHECKING:
    from pectl.steps.judged import Judged

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


def read_judged(run: tuple[Path | None, Path | None], tables: Tables, *, split: str, device: Device) -> "Judged":
    """Read one of the two sources.

    Args:
        run: feature store and stage 2 run, or None and None.
        tables: predictions and labels, or None and None.
        split: of the feature store.
        device: where stage 2 runs.

    Raises:
        typer.BadParameter: not exactly one source is given whole.
    """
    from pectl.steps.judged import judge_run, judge_tables

    (features, stage2), (predictions, labels) = run, tables
    if features is not None and stage2 is not None and not predictions and not labels:
        return judge_run(features, stage2, split=split, device=device)
    if predictions and labels and features is None and stage2 is None:
        return judge_tables(predictions, labels)
    raise typer.BadParameter("give either FEATURES and --stage2, or --predictions and --labels")
