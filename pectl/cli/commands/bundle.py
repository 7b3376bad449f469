"""`pectl bundle`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pectl.cli.console import progress, say, show_table
from pectl.cli.options import QuietOption, WorkersOption

if TYPE_CHECKING:
    from pectl.steps.bundle import Bundled


def bundle(
    stage1: Annotated[list[Path], typer.Option("--stage1", help="A finished run of train-stage1; repeatable.")],
    stage2: Annotated[
        list[Path],
        typer.Option("--stage2", help="The run of train-stage2 on its features; as many as --stage1, in that order."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.pectl", help="The file to write.")],
    evaluation: Annotated[
        Path | None, typer.Option("--evaluation", help="Folder of pectl evaluate, for the figures of the model card.")
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option("--features", help="What the first stage 2 was trained on; gives the distance from training."),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            help="The study store that the runs were made with; gives fingerprints, by which validate-external finds "
            "its studies in other files.",
        ),
    ] = None,
    workers: WorkersOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Put a model into one file, with its decisions and a model card.

    Several pairs of runs (folds, seeds) are averaged when the model is applied.
    """
    from pectl.steps.bundle import StoreVolumes, make_bundle

    if len(stage1) != len(stage2):
        raise typer.BadParameter(
            f"expected as many --stage2 as --stage1, found {len(stage2)} and {len(stage1)}; give them in pairs"
        )
    with progress("studies", quiet=quiet) as report:
        volumes = None if store is None else StoreVolumes(path=store, workers=workers, progress=report)
        runs = list(zip(stage1, stage2, strict=True))
        made = make_bundle(runs, out, evaluation=evaluation, features=features, store=volumes)
    _show(made)
    say(f"bundle: {out}; what is in it: pectl info {out}")


def _show(made: "Bundled") -> None:
    distance = made.distance
    rows = {
        "members": f"{made.n_members}",
        "size": f"{made.n_bytes / 1e6:.1f} MB",
        "figures": "in the model card" if made.evaluated else "none; give --evaluation",
        "distance from training": "none; give --features"
        if distance is None
        else f"of {distance.n_fit} studies; flagged above {distance.threshold:.4g}",
        "fingerprints": f"of {made.n_fingerprints} studies" if made.n_fingerprints else "none; give --store",
    }
    show_table("bundled", rows)
