"""What both training commands show: the model before, progress, the best epoch after."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pectl.cli.console import Report, console, log_lines, progress, show_table
from pectl.cli.watched import show_estimate
from pectl.core.storage.processes import find_processes

if TYPE_CHECKING:
    from pectl.core.storage.estimate import Expect
    from pectl.training.summary import Layer


def train_and_show(
    stage: str,
    train: "Callable[[Report, Expect], dict[str, float]]",
    out: Path,
    *,
    layers: "Callable[[], list[Layer]]",
    quiet: bool,
) -> None:
    """Train with progress, then show the best epoch.

    Of several processes the first shows.
    """
    if find_processes().rank > 0:
        train(lambda done, total: None, lambda estimate: None)
        return
    if not quiet:
        show_layers(stage, layers())
    with (
        progress(f"{stage} steps", quiet=quiet) as report,
        log_lines(quiet=quiet),
        _failure_noted(out / "status.json"),
    ):
        best = train(report, lambda estimate: show_estimate(estimate, quiet=quiet))
    show_table(f"{stage}, best epoch: {out}", best)


@contextmanager
def _failure_noted(status: Path) -> Iterator[None]:
    from pectl.core.storage.status import mark_failed

    try:
        yield
    except Exception as error:
        mark_failed(status, error)
        raise


def show_layers(title: str, layers: "list[Layer]") -> None:
    """Print a model's layers as a table; the last line is the whole model."""
    from rich.table import Table

    table = Table("layer", "kind", "output", title=title, title_justify="left")
    table.add_column("parameters", justify="right")
    table.add_column("MFLOP", justify="right")
    for layer in layers:
        shape = "x".join(map(str, layer.output))
        table.add_row(layer.name, layer.kind, shape, f"{layer.parameters:,}", f"{layer.flops / 1e6:,.2f}")
    console().print(table)
