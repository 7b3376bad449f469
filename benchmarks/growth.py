"""The rows of the speed table about growth: what a step costs at 73, 728 and 7,279 studies, RSPECT's number.

Volumes are tiny; numbers of slices and labels are RSPECT's where its table is there (`benchmarks/tiny_store.py`). Each
figure is of a process of its own, its imports included: processor time and peak memory. By itself, all or some parts:

    .venv/bin/python -m benchmarks.growth [finish] [open] [step] [loader] [extract] [evaluate]
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.fresh import Cost, measure
from benchmarks.timing import Row

SIZES = (73, 728, 7_279)
"""RSPECT has 7,279 labelled studies."""
BATCHES, BATCH = 2_000, 16
"""Batches of an epoch that are read, and windows in each; an epoch of 73 studies has fewer."""
EXTRACTED = 73
"""Studies that are extracted; features of the others are there already."""
INPUT_PX = 16
_CHILD = "benchmarks.growth_parts"


def growth_rows(folder: Path, parts: Sequence[str] = ()) -> Iterator[Row]:
    """Measure the named parts, or all, at three sizes."""
    from benchmarks.growth_parts import write_runs, write_stores

    if set(parts) != {"evaluate"}:
        write_stores(folder, SIZES)
        write_runs(folder / "runs")
    for name in parts or PARTS:
        yield PARTS[name](folder)


def _row(what: str, costs: Sequence[Cost], more: str = "") -> Row:
    """Return a row: figures at each size, and what a further study costs: to the second size, and from there."""
    seconds, peaks = [f"{cost.seconds:.2f}" for cost in costs], [f"{cost.peak_mb:.0f}" for cost in costs]
    each = [
        1000 * (later.seconds - earlier.seconds) / (many - few)
        for earlier, later, few, many in zip(costs, costs[1:], SIZES, SIZES[1:], strict=False)
    ]
    figures = f"{', '.join(seconds)} s; {', '.join(peaks)} MB"
    return (
        f"{what}, {', '.join(f'{size:,}' for size in SIZES)} studies",
        figures,
        more,
        ", ".join(f"{ms:.2f} ms" for ms in each),
    )


def _finish(folder: Path) -> Row:
    costs = [measure(_CHILD, "finish", folder / f"store_{size}") for size in SIZES]
    return _row("write the tables of a store, each study being there", costs)


def _open(folder: Path) -> Row:
    costs = [measure(_CHILD, "open", folder / f"store_{size}") for size in SIZES]
    without = measure(_CHILD, "open_each", folder / f"store_{SIZES[-1]}")
    return _row("open a store and index its windows", costs, f"opening every study {without.seconds:.2f} s")


def _step(folder: Path) -> Row:
    return _row(
        "start of train-stage1 to the end of its first step",
        [measure(_CHILD, "step", folder / f"store_{size}", folder / f"step_{size}") for size in SIZES],
    )


def _loader(folder: Path) -> Row:
    costs = [measure(_CHILD, "loader", folder / f"store_{size}") for size in SIZES]
    return _row(f"{BATCHES * BATCH} random windows by the loader of training", costs)


def _extract(folder: Path) -> Row:
    costs = [
        measure(_CHILD, "extract", folder / f"store_{size}", folder / "runs/stage1", folder / f"features_{size}")
        for size in SIZES
    ]
    return _row(f"extract {EXTRACTED} studies of a store, the others being there", costs)


def _evaluate(folder: Path) -> Row:
    costs = []
    for size in SIZES:
        out = folder / f"tables_{size}"
        measure(_CHILD, "tables", out, size)
        costs.append(measure(_CHILD, "evaluate", out))
    return _row("evaluate on tables, with the report", costs)


PARTS: dict[str, Callable[[Path], Row]] = {
    "finish": _finish,
    "open": _open,
    "step": _step,
    "loader": _loader,
    "extract": _extract,
    "evaluate": _evaluate,
}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for row in growth_rows(Path(scratch), sys.argv[1:]):
            print("| " + " | ".join(row) + " |", flush=True)
