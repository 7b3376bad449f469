"""The `pectl` program: one command a file; imports only what `--help` needs."""

import sys
from typing import Annotated

import typer

from pectl.cli.commands import (
    bundle,
    calibrate,
    compare,
    demo,
    evaluate,
    explain,
    extract_features,
    info,
    layouts,
    listen,
    phantom,
    predict,
    predict_for,
    preprocess,
    sanity_check,
    slurm,
    summary,
    train_stage1,
    train_stage2,
    validate,
    validate_external,
)
from pectl.cli.console import say, show_error
from pectl.cli.working_folder import leave_out_working_folder
from pectl.errors import PectlError

app = typer.Typer(
    name="pectl",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: the panels would take twice the time to import
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("phantom")(phantom.phantom)
app.command("validate")(validate.validate)
app.command("preprocess")(preprocess.preprocess)
app.command("layouts")(layouts.layouts)
app.command("train-stage1")(train_stage1.train_stage1)
app.command("extract-features")(extract_features.extract_features)
app.command("train-stage2")(train_stage2.train_stage2)
app.command("predict")(predict.predict)
app.command("predict-for")(predict_for.predict_for)
app.command("listen")(listen.listen)
app.command("evaluate")(evaluate.evaluate)
app.command("validate-external")(validate_external.validate_external)
app.command("calibrate")(calibrate.calibrate)
app.command("compare")(compare.compare)
app.command("explain")(explain.explain)
app.command("sanity-check")(sanity_check.sanity_check)
app.command("summary")(summary.summary)
app.command("bundle")(bundle.bundle)
app.command("info")(info.info)
app.command("slurm")(slurm.slurm)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"pectl {version('pectl')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train, measure and explain a two-stage classifier of pulmonary embolism on CT.

    Research use only, not for diagnosis.
    """


def main() -> None:
    """Run the program; a failure the user can fix is one line on stderr, and its exit code."""
    leave_out_working_folder()
    try:
        app()
    except PectlError as error:
        show_error(error)
        sys.exit(error.exit_code)
