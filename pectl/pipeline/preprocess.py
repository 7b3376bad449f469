"""DICOM folder to study store.

Every study is done, or refused with a code and a reason; a rerun does what is missing.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from multiprocessing.context import BaseContext
from pathlib import Path

import cv2
import numpy as np

from pectl.config import Config, PreprocessConfig
from pectl.core.data.dicom import SliceHeader
from pectl.core.data.dicom_index import Cohort, index_files
from pectl.core.data.files import write_json
from pectl.core.data.intake import make_study
from pectl.core.data.labels import STUDY_LABELS, Labels, read_labels
from pectl.core.data.lungs import check_available
from pectl.core.data.splits import check_method
from pectl.core.data.study_store import study_path, write_study
from pectl.errors import StudyRefusedError
from pectl.pipeline.store_index import begin_store, finish_store, refusal_path

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Refusal:
    """A study that isn't in the store, and why."""

    study: str
    code: str
    reason: str


@dataclass(frozen=True)
class PreprocessSummary:
    """What a run of `preprocess` did.

    Attributes:
        n_done: studies written by this run.
        n_skipped: studies that were already there, done or refused.
        refused: studies refused by this run.
        unlabelled: studies that the labels table doesn't hold, sorted.
        unreadable: files that can't be read or whose header is damaged, sorted; no study has them.
        complete: whether the store is finished, so all studies of the root are done or refused.
    """

    n_done: int
    n_skipped: int
    refused: tuple[Refusal, ...]
    unlabelled: tuple[str, ...]
    unreadable: tuple[Path, ...]
    complete: bool

    @property
    def n_refused(self) -> int:
        """Return how many studies this run refused."""
        return len(self.refused)


@dataclass(frozen=True)
class _Task:
    """One study: its files, its labels, and where it goes."""

    uid: str
    headers: tuple[SliceHeader, ...]
    image_labels: dict[str, int] | None
    exam_labels: dict[str, int | None]
    store: Path
    config: PreprocessConfig


def preprocess(  # noqa: PLR0913 - the command's own options
    dicom_root: Path,
    out: Path,
    config: Config,
    *,
    labels: Path | None = None,
    workers: int = 1,
    shard: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> PreprocessSummary:
    """Make or complete the study store `out` from every study below `dicom_root`.

    Args:
        dicom_root: a folder or one file.
        out: the store; studies it holds already are left as they are.
        config: the experiment; `preprocess`, `split` and `seed` are used.
        labels: a table like RSPECT's `train.csv`; without it all labels are unknown.
        workers: processes; 1 works in this one.
        shard: (index from 0, count): do only this share of the studies. The shard that finishes last writes
            the index files.
        progress: called with (studies finished, studies of this run) after each.

    Raises:
        InputMissingError: no such root, no DICOM inside, or no labels table.
        LabelsError: the labels table can't be used; nothing has been written.
        LineageError: `out` was made with other preprocessing or other labels.
        WeightsError: `lungs = "lungmask"` without the package or its weights.
        SplitError: the studies can't be split as configured.
        StoreError: a file can't be written.
    """
    check_available(config.preprocess)
    table = None if labels is None else read_labels(labels)
    cohort = index_files(dicom_root, shard=shard, known=lambda uid: _is_finished(out, uid))
    check_method(config.split, len(cohort.patient_id))
    begin_store(out, config, labels)
    tasks = [_task(cohort, uid, table, out, config.preprocess) for uid in sorted(cohort.todo)]
    refused = []
    for number, refusal in enumerate(_run(tasks, workers), start=1):
        refused += [refusal] if refusal else []
        if progress:
            progress(number, len(tasks))
    complete = all(_is_finished(out, uid) for uid in cohort.patient_id)
    if complete:
        finish_store(out, cohort.patient_id, config, labels)
    return PreprocessSummary(
        n_done=len(tasks) - len(refused),
        n_skipped=cohort.n_known,
        refused=tuple(sorted(refused, key=lambda refusal: refusal.study)),
        unlabelled=_unlabelled(cohort, table),
        unreadable=tuple(cohort.unreadable),
        complete=complete,
    )


def _is_finished(out: Path, uid: str) -> bool:
    return study_path(out, uid).exists() or refusal_path(out, uid).exists()


def _task(cohort: Cohort, uid: str, table: Labels | None, out: Path, config: PreprocessConfig) -> _Task:
    exam: dict[str, int | None] = dict.fromkeys(STUDY_LABELS)
    if table is not None and uid in table.exam.index:
        values = table.exam.loc[uid, list(STUDY_LABELS)].to_numpy(np.float64)
        exam = {name: None if np.isnan(value) else int(value) for name, value in zip(exam, values, strict=True)}
    image_labels = None if table is None else table.of_images(uid)
    return _Task(uid, cohort.todo[uid], image_labels, exam, out, config)


def _unlabelled(cohort: Cohort, table: Labels | None) -> tuple[str, ...]:
    return () if table is None else tuple(sorted(set(cohort.patient_id) - set(table.exam.index)))


def _run(tasks: list[_Task], workers: int) -> Iterator[Refusal | None]:
    """Do the studies, in this process or in several, and yield the outcome of each as it ends."""
    if workers <= 1:
        yield from map(_preprocess_study, tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=_context(), initializer=_start_worker) as pool:
        waiting = iter(tasks)
        running = {pool.submit(_preprocess_study, task) for task in islice(waiting, 2 * workers)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(_preprocess_study, task) for task in islice(waiting, len(done))}
            for future in done:
                yield future.result()


def _context() -> BaseContext:
    """Return a way to start processes that inherits no threads and imports the libraries once."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _start_worker() -> None:
    cv2.setNumThreads(1)


def _preprocess_study(task: _Task) -> Refusal | None:
    """Write one study or the reason why not."""
    try:
        study, _ = make_study(
            list(task.headers), task.config, image_labels=task.image_labels, exam_labels=task.exam_labels
        )
    except StudyRefusedError as error:
        refusal = Refusal(task.uid, error.code, str(error))
        write_json(refusal_path(task.store, task.uid), {"study": task.uid, "code": error.code, "reason": str(error)})
        return refusal
    write_study(study_path(task.store, task.uid), study)
    return None
