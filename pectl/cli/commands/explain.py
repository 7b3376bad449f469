"""`pectl explain`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pectl.cli.console import say
from pectl.cli.intake import SpacingOption, ValuesOption, parse_stated
from pectl.cli.options import ConfigOption, DeviceOption, QuietOption, SeedOption, SetOption
from pectl.cli.watched import watched

SourceArgument = Annotated[Path, typer.Argument(help="A study store, a folder of DICOM files, or a volume.")]
Stage1Option = Annotated[Path, typer.Option("--stage1", help="A finished run of train-stage1.")]
Stage2Option = Annotated[Path, typer.Option("--stage2", help="A finished run of train-stage2.")]
LabelOption = Annotated[
    str, typer.Option("--label", help="pe_present, pe_window (stage 1 alone), or one of the nine exam labels.")
]
MethodOption = Annotated[Literal["grad-cam", "layer-cam"], typer.Option("--method", help="Of the heat.")]


def explain(
    source: SourceArgument,
    stage1: Stage1Option,
    stage2: Stage2Option,
    out: Annotated[Path, typer.Option("--out", help="Folder of the pictures and pages.")],
    study: Annotated[str | None, typer.Option("--study", help="StudyInstanceUID.")] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="All studies of a split, and how well the heat points.")
    ] = None,
    label: LabelOption = "pe_present",
    method: MethodOption = "layer-cam",
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="A store with masks or boxes, or a phantom cohort, to score the heat."),
    ] = None,
    spacing: SpacingOption = None,
    values: ValuesOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    quiet: QuietOption = False,
) -> None:
    """Show heat and attention on the original slices."""
    if study is not None and split is not None:
        raise typer.BadParameter("give --study or --split, not both")
    from pectl.config import load_config
    from pectl.core.places.truth import TruthFolder
    from pectl.steps.explain import Question
    from pectl.steps.explain import explain as run

    resolved = load_config(config, overrides or [], seed)
    question = Question(
        stage1=stage1,
        stage2=stage2,
        source=source,
        uid=study,
        split=split,
        label=label,
        method=method,
        truth=None if truth is None else TruthFolder.open(truth),
        stated=parse_stated(spacing, values),
    )
    with watched("studies explained", out, quiet=quiet) as watch:
        result = run(question, out, config=resolved, device=device, progress=watch.progress)
    if split is not None and not quiet:
        _show(result)
        _show_froc(result["froc"])
        say(result["scale_meaning"])
        say(f"summary: {out / 'index.html'}")
    say(result["statement"])


def _show_froc(froc: dict[str, Any] | None) -> None:
    """Print the average sensitivity per embolus, where there are masks of emboli."""
    if froc is None:
        return
    from pectl.report.text import estimate

    nearest, widest = f"{froc['rates'][0]:g}", f"{froc['rates'][-1]:g}"
    told = ", ".join(f"{mm} mm {estimate(one['average'], one['average_ci'], 2)}" for mm, one in froc["within"].items())
    say(f"{froc['n_emboli']} emboli: mean share marked at {nearest} to {widest} false marks per scan, within {told}")


def _show(summary: dict[str, Any]) -> None:
    """Print the measures beside both baselines, with the interval of each difference."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from pectl.cli.console import console
    from pectl.report.explanation.summary_page import BASELINE_TITLES, measure_rows

    title = f"{summary['n_positive']} positive {summary['split']} studies; below a baseline: heat above it by"
    heads = ("measure", "n", "heat", *BASELINE_TITLES.values())
    table = Table(*heads, title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for row in measure_rows(summary["measures"]):
        cells = [f"{cell['value']}\n{cell['difference']} ({cell['ci']})" for cell in row["baselines"]]
        table.add_row(row["title"], str(row["n"]), f"{row['value']}\n{row['ci']}", *cells)
    console().print(table)
