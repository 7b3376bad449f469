"""`pectl bundle`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pectl.cli.console import say, show_table

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
) -> None:
    """Put a model into one file, with its decisions and a model card.

    Several pairs of runs (folds, seeds) are averaged when the model is applied.
    """
    from pectl.steps.bundle import make_bundle

    if len(stage1) != len(stage2):
        raise typer.BadParameter(
            f"expected as many --stage2 as --stage1, found {len(stage2)} and {len(stage1)}; give them in pairs"
        )
    made = make_bundle(list(zip(stage1, stage2, strict=True)), out, evaluation=evaluation, features=features)
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
    }
    show_table("bundled", rows)
