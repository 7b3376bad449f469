"""The `pectl` program: one command a file; imports only what `--help` needs."""

import sys
from typing import Annotated

import typer

from pectl.cli import (
    command_bundle,
    command_calibrate,
    command_compare,
    command_demo,
    command_evaluate,
    command_explain,
    command_extract_features,
    command_info,
    command_listen,
    command_phantom,
    command_predict,
    command_predict_for,
    command_preprocess,
    command_sanity_check,
    command_slurm,
    command_summary,
    command_train_stage1,
    command_train_stage2,
    command_validate,
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
app.command("demo")(command_demo.demo)
app.command("phantom")(command_phantom.phantom)
app.command("validate")(command_validate.validate)
app.command("preprocess")(command_preprocess.preprocess)
app.command("train-stage1")(command_train_stage1.train_stage1)
app.command("extract-features")(command_extract_features.extract_features)
app.command("train-stage2")(command_train_stage2.train_stage2)
app.command("predict")(command_predict.predict)
app.command("predict-for")(command_predict_for.predict_for)
app.command("listen")(command_listen.listen)
app.command("evaluate")(command_evaluate.evaluate)
app.command("calibrate")(command_calibrate.calibrate)
app.command("compare")(command_compare.compare)
app.command("explain")(command_explain.explain)
app.command("sanity-check")(command_sanity_check.sanity_check)
app.command("summary")(command_summary.summary)
app.command("bundle")(command_bundle.bundle)
app.command("info")(command_info.info)
app.command("slurm")(command_slurm.slurm)


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
