"""The rows of the speed table about the index of headers: files as RSPECT's headers, of 16x16 pixels, hard-linked.

Each study is a folder of `IMAGES` files, of which `DISTINCT` differ and the others are links to these; a reader can't
tell. They should lie where opening a file costs little, such as `/dev/shm`, as it isn't the disk that is measured:

    .venv/bin/python -m benchmarks.header_index /dev/shm 1800000
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.fresh import Cost, measure
from benchmarks.timing import Row
from pectl.config import PhantomConfig
from pectl.core.dicom.sources import find_entries
from pectl.core.intake.index import index_files
from pectl.core.volumes.stated import Given, Stated
from pectl.phantom.acquisition import draw_scanner
from pectl.phantom.dicom import Header, draw_id, write_series
from pectl.phantom.grid import Grid

FILES = (18_000, 180_000)
IMAGES, DISTINCT, SIDE = 247, 19, 16
_CHILD = "benchmarks.header_index"


def header_index_rows(folder: Path, *, files: tuple[int, ...] = FILES) -> Iterator[Row]:
    """Measure the index of each number of files: in one go, stopped in the middle and begun again, and once more."""
    for count in files:
        root, index = folder / f"headers_{count}", folder / f"index_{count}"
        write_studies(root, count)
        walk, whole = measure(_CHILD, "walk", root), measure(_CHILD, "index", root, index)
        again = measure(_CHILD, "index", root, index)
        shutil.rmtree(index)
        parts = measure(_CHILD, "index", root, index, count // 2), measure(_CHILD, "index", root, index)
        yield _row(count, walk, (whole, again), parts)
        shutil.rmtree(root)
        shutil.rmtree(index)


def _row(count: int, walk: Cost, runs: tuple[Cost, Cost], parts: tuple[Cost, Cost]) -> Row:
    whole, again = runs
    stopped, rest = parts
    return (
        f"index of {count:,} headers; stopped in the middle and begun again; once more, all being known",
        f"{whole.seconds:.1f} s ({1e6 * whole.seconds / count:.0f} us a file), {whole.peak_mb:.0f} MB; "
        f"{stopped.seconds:.1f} + {rest.seconds:.1f} s; {again.seconds:.1f} s",
        f"only looking at each file {walk.seconds:.1f} s",
        f"{walk.seconds / whole.seconds:.2f}",
    )


def write_studies(root: Path, count: int) -> None:
    """Write at least `count` files, in folders of a study each."""
    rng, config = np.random.default_rng(0), PhantomConfig()
    grid = Grid(shape=(DISTINCT, SIDE, SIDE), spacing_mm=(1.25, 0.7, 0.7), first_mm=(-100.0, -5.6, -5.6))
    pixels = np.zeros(grid.shape, np.int16)
    for _ in range(-(-count // IMAGES)):
        header = Header.draw(rng, config, grid, draw_scanner(rng, config, motion=False), draw_id(rng, "hashed"))
        folder = root / header.study_uid / header.series_uid
        write_series(folder, header, grid, pixels)
        names = [folder / f"{uid}.dcm" for uid in header.sop_uids]
        for number, other in enumerate(rng.bytes(6 * (IMAGES - DISTINCT)).hex(" ", 6).split()):
            os.link(names[number % DISTINCT], folder / f"{other}.dcm")


class _Stopped(Exception):  # noqa: N818 - what a kill is to the index
    """The index was stopped in the middle."""


def _index(root: str, index: str, most: str = "") -> None:
    def progress(done: int, found: int) -> None:
        if most and done >= int(most):
            raise _Stopped

    given = Given((Path(root),), Stated())
    try:
        cohort = index_files(given, folder=Path(index), known=lambda uid: False, progress=progress)
    except _Stopped:
        return
    print(len(cohort.patient), "studies", file=sys.stderr)


def _walk(root: str) -> None:
    for _ in find_entries((Path(root),)):
        pass


def main(arguments: list[str]) -> Iterator[Row]:
    """Do what a fresh process is started for, or measure the numbers of files given in a folder."""
    if arguments[0] in ("walk", "index"):
        {"walk": _walk, "index": _index}[arguments[0]](*arguments[1:])
        return
    with tempfile.TemporaryDirectory(dir=arguments[0]) as folder:
        yield from header_index_rows(Path(folder), files=tuple(map(int, arguments[1:])) or FILES)


if __name__ == "__main__":
    for row in main(sys.argv[1:]):
        print("| " + " | ".join(row) + " |")
