"""`pectl validate-external`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pectl.cli.console import say
from pectl.cli.options import ConfigOption, DeviceOption, QuietOption, SeedOption, SetOption, WorkersOption
from pectl.cli.watched import watched


def validate_external(
    model: Annotated[Path, typer.Option("--model", metavar="FILE.pectl", help="A bundle.")],
    stores: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]STORE...",
            help="A study store with labels for each site; its name is its folder's, or NAME.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the report and of the predictions.")],
    truth: Annotated[
        list[str] | None,
        typer.Option(
            "--truth",
            metavar="[NAME=]FOLDER",
            help="A store with masks of a site's emboli, for subgroups by size; repeatable.",
        ),
    ] = None,
    trained_on: Annotated[
        list[str] | None,
        typer.Option(
            "--trained-on",
            metavar="SET",
            help="A set that the model was made with, as a store's column provenance names it, such as rsna; its "
            "studies are left out of the main figures; repeatable.",
        ),
    ] = None,
    workers: WorkersOption = 1,
    config: ConfigOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    quiet: QuietOption = False,
) -> None:
    """Validate a bundle at other sites, everything frozen, each site by itself.

    Sites of one class are never pooled; the others are summarised by random effects beside their own figures.
    """
    from pectl.config import load_config
    from pectl.steps.external.sites import named_paths
    from pectl.steps.external.validate_external import ExternalQuestion
    from pectl.steps.external.validate_external import validate_external as run

    resolved = load_config(config, overrides or [], seed)
    with watched("studies", out, quiet=quiet) as watch:
        question = ExternalQuestion(
            model=model,
            stores=named_paths(stores, option="STORE"),
            sizes=named_paths(truth or [], option="--truth"),
            trained_on=trained_on or [],
            device=device,
            workers=workers,
            progress=watch.progress,
        )
        result = run(question, out, resolved)
    _show(result)
    say(f"report: {out / 'report.html'}")
    say("Research use only, not for diagnosis.")


def _show(result: dict[str, Any]) -> None:
    """Print the figures of each site, and of all that can be summarised."""
    from pectl.report.external.content import site_lines, summary_line

    for line in site_lines(result):
        say(line)
    say(summary_line(result["summary"]))
