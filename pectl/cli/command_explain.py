"""`pectl explain`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pectl.cli.console import say
from pectl.cli.options import ConfigOption, DeviceOption, QuietOption, SeedOption, SetOption
from pectl.cli.watched import watched


def explain(
    source: Annotated[Path, typer.Argument(help="A study store, or a folder of DICOM files.")],
    stage1: Annotated[Path, typer.Option("--stage1", help="A finished run of train-stage1.")],
    stage2: Annotated[Path, typer.Option("--stage2", help="A finished run of train-stage2.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the pictures and pages.")],
    study: Annotated[str | None, typer.Option("--study", help="StudyInstanceUID.")] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="All studies of a split, and how well the heat points.")
    ] = None,
    label: Annotated[str, typer.Option("--label", help="pe_present or one of the nine exam labels.")] = "pe_present",
    method: Annotated[Literal["grad-cam", "layer-cam"], typer.Option("--method", help="Of the heat.")] = "layer-cam",
    truth: Annotated[
        Path | None, typer.Option("--truth", help="With --split: truth/ of a phantom cohort, to score the heat.")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    quiet: QuietOption = False,
) -> None:
    """Show heat and attention on the original slices."""
    if study is not None and split is not None:
        raise typer.BadParameter("give --study or --split, not both")
    if truth is not None and split is None:
        raise typer.BadParameter("--truth goes with --split")
    from pectl.config import load_config, write_config
    from pectl.report.explain_run import explain_run

    resolved = load_config(config, overrides or [], seed)
    with watched("studies explained", out, quiet=quiet) as watch:
        statement = explain_run(
            source, stage1, stage2, out, uid=study, split=split, label=label, method=method, truth=truth,
            device=device, progress=watch.progress,
        )  # fmt: skip
    write_config(resolved, out / "config.toml")
    say(statement)
