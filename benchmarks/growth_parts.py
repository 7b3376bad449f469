"""The parts that `benchmarks.growth` measures, each in a process of its own."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def write_stores(folder: Path, sizes: Sequence[int]) -> None:
    """Write finished stores; the smaller ones share the files of the largest, whose tables `finish` writes."""
    from benchmarks.tiny_store import finish, link_studies, read_cohort, write_studies

    largest, cohort = folder / f"store_{sizes[-1]}", read_cohort(sizes[-1])
    write_studies(largest, cohort)
    for size in sizes[:-1]:
        link_studies(folder / f"store_{size}", largest, cohort.iloc[:size])
    for size in sizes:
        finish(folder / f"store_{size}")


def write_runs(folder: Path) -> None:
    """Write an untrained run of stage 1 that fits the stores."""
    from benchmarks.explaining import write_untrained_runs
    from benchmarks.growth import INPUT_PX
    from benchmarks.tiny_store import SIDE

    write_untrained_runs(folder, stride=10, small=(SIDE, INPUT_PX))


def _finish(store: str) -> None:
    from benchmarks.tiny_store import finish

    finish(Path(store))


def _open(store: str) -> None:
    from pectl.config import Config
    from pectl.core.stores.study_store import StudyStore
    from pectl.training.stage1 import index_windows

    opened = StudyStore.open(Path(store))
    index_windows(opened, opened.uids(), Config())


def _open_each(store: str) -> None:
    from pectl.core.stores.slice_labels import NAME

    index, aside = Path(store, NAME), Path(store, "aside")
    index.rename(aside)
    try:
        _open(store)
    finally:
        aside.rename(index)


class _Enough(Exception):  # noqa: N818 - not an error
    """What was to be measured is done."""


def _step(store: str, out: str) -> None:
    from benchmarks.growth import BATCH, INPUT_PX
    from pectl.config import Config, Stage1Config
    from pectl.steps.train_stage1 import train_stage1

    def progress(done: int, total: int) -> None:
        if done:
            raise _Enough

    config = Config(stage1=Stage1Config(backbone="slim_16", input_px=INPUT_PX, batch_size=BATCH))
    try:
        train_stage1(Path(store), Path(out), config, device="cpu", resume=False, progress=progress)
    except _Enough:
        return
    raise RuntimeError("no step was taken")


def _loader(store: str) -> None:
    import numpy as np

    from benchmarks.growth import BATCH, BATCHES
    from pectl.config import Config
    from pectl.core.batches.share import whole
    from pectl.core.stores.study_store import StudyStore
    from pectl.training.loader import Key, Loader
    from pectl.training.stage1 import WindowSource

    source = WindowSource.of(StudyStore.open(Path(store)), Config())
    rows = np.random.default_rng(0).integers(0, len(source.splits["train"]), (BATCHES, BATCH))
    for _ in Loader(source).read([Key("train", row, whole(BATCH)) for row in rows], []):
        pass


def _extract(store: str, stage1: str, out: str) -> None:
    import os

    from benchmarks.growth import EXTRACTED
    from pectl.config import Config
    from pectl.core.stores.paths import study_path
    from pectl.core.stores.study_store import StudyStore
    from pectl.steps.extract_features import extract_features

    uids = StudyStore.open(Path(store)).uids()
    place = study_path(Path(out), uids[0])
    place.parent.mkdir(parents=True)
    for uid in uids[EXTRACTED:]:
        os.link(study_path(Path(store), uid), study_path(Path(out), uid))  # only that it is there counts
    extract_features(
        Path(store), Path(stage1), Path(out), Config(), device="cpu", shard=None, progress=lambda done, total: None
    )


def _tables(out: str, size: str) -> None:
    from benchmarks.evaluation import write_tables

    Path(out).mkdir(parents=True)
    write_tables(Path(out, "labels.csv"), Path(out, "predictions.csv"), studies=int(size))


def _evaluate(folder: str) -> None:
    from pectl.cli.app import app

    tables = ["--predictions", f"{folder}/predictions.csv", "--labels", f"{folder}/labels.csv"]
    app(["evaluate", *tables, "--out", f"{folder}/evaluation", "--quiet"], standalone_mode=False)


PARTS: dict[str, Callable[..., None]] = {
    "finish": _finish,
    "open": _open,
    "open_each": _open_each,
    "step": _step,
    "loader": _loader,
    "extract": _extract,
    "tables": _tables,
    "evaluate": _evaluate,
}


if __name__ == "__main__":
    PARTS[sys.argv[1]](*sys.argv[2:])
