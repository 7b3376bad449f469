"""`pectl predict-for`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pectl.cli.commands.predict import parse_kinds, show_without_dicom
from pectl.cli.console import say
from pectl.cli.intake import STRICT_EXIT, show_faults
from pectl.cli.options import Device, QuietOption
from pectl.cli.watched import watched

if TYPE_CHECKING:
    from pectl.steps.predict_studies import PredictSummary

Name = Literal["mercure", "kaapana", "monai-deploy"]
"""Those of `pectl.orchestrators.known`, which would be slow to import here."""


def predict_for(
    name: Annotated[Name, typer.Argument(metavar="ORCHESTRATOR", help="mercure, kaapana or monai-deploy.")],
    model: Annotated[
        Path,
        typer.Option(
            "--model",
            metavar="PATH",
            envvar=["PECTL_MODEL", "HOLOSCAN_MODEL_PATH"],
            help="A bundle, or a folder that holds one.",
        ),
    ],
    kinds: Annotated[
        str | None,
        typer.Option(
            "--dicom",
            metavar="KIND,...",
            envvar="PECTL_DICOM",
            help="Write DICOM objects: any of sr, key-images, kos, heat, seg. They carry the patient's identity.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", envvar="PECTL_STRICT", help="Exit 3 if a study was refused.")
    ] = False,
    device: Annotated[Device, typer.Option("--device", envvar="PECTL_DEVICE", help="Where to compute.")] = "auto",
    quiet: QuietOption = False,
) -> None:
    """Predict what an orchestrator has laid out, and answer as it expects.

    Folders come from the variables that it sets. A study that can't be used is an answer too, with the reason.
    """
    import os
    from tempfile import TemporaryDirectory

    from pectl.bundle.unloaded import UnloadedBundle
    from pectl.orchestrators.known import ORCHESTRATORS
    from pectl.steps.predict_for import find_bundle, predict_for
    from pectl.steps.predict_studies import Wish

    orchestrator = ORCHESTRATORS[name]
    items = orchestrator.items(os.environ)
    asked = orchestrator.kinds(os.environ)
    wish = Wish(device=device, kinds=parse_kinds(kinds if asked is None else asked))
    bundle = UnloadedBundle.open(find_bundle(model))
    with (
        TemporaryDirectory(prefix="pectl-") as work,
        watched("items", Path(work), quiet=quiet, resumes=False) as watch,
    ):
        summaries = predict_for(orchestrator, items, bundle, wish, work=Path(work), progress=watch.progress)
    for summary in summaries:
        _show(summary)
    say("Research use only, not for diagnosis.")
    if strict and any(summary.refused for summary in summaries):
        raise typer.Exit(STRICT_EXIT)


def _show(summary: "PredictSummary") -> None:
    """Say what is to be made of each study, and what isn't read."""
    from pectl.orchestrators.contract import sentence

    show_faults(summary.faults)
    show_without_dicom(summary)
    for row in summary.rows:
        say(f"{row.prediction.study}: {sentence(row.prediction)}")
