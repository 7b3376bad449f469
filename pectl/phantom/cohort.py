"""The synthetic cohort: DICOM in RSPECT's layout, train.csv, and the truth of each study."""

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from pectl.config import PhantomConfig
from pectl.core.storage.files import atomic_path, not_written
from pectl.core.storage.stamp import digest_of
from pectl.core.storage.workers import run_in_processes
from pectl.errors import OutputExistsError
from pectl.phantom.acquisition import HALO_SLICES, Scanner, add_noise, draw_scanner, scan
from pectl.phantom.dicom import Header, draw_id, write_series
from pectl.phantom.emboli import image_area_mm2
from pectl.phantom.labels import CSV_COLUMNS, ExamType
from pectl.phantom.render import MASKS, Fields, render
from pectl.phantom.study import Phantom, draw_phantom
from pectl.phantom.truth import Masks, Rows, read_geometry, read_rows, write_truth

_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_LEAST_HU, _MOST_HU = -1024.0, 3071.0
_NOISE, _TYPES, _ROWS = 1, 2, 3
"""Third number of the seeds of what isn't drawn in the order of a study's own generator."""


@dataclass(frozen=True)
class _Job:
    """What a worker needs to make any study of the cohort."""

    out: Path
    config: PhantomConfig
    seed: int

    @property
    def made_with(self) -> str:
        """Digest of all that a study depends on; the number of studies isn't part of it."""
        return digest_of("phantom", 1, self.seed, self.config.model_copy(update={"studies": 1}).digest())

    def truth_path(self, uid: str) -> Path:
        return self.out / "truth" / f"{uid}.npz"


def make_cohort(
    out: Path,
    config: PhantomConfig,
    *,
    seed: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write studies to `out/train`, their truth to `out/truth`, and `out/train.csv` at the end.

    The same (config, seed) gives the same bytes whatever `workers` and the threads of numpy are. Studies whose truth is
    already there are kept, so a run that was killed goes on, and a cohort can be made larger.

    Args:
        out: the cohort's folder.
        config: size and difficulty.
        seed: of the cohort; study i draws from `default_rng([seed, i])`.
        workers: processes.
        progress: called with (studies done, studies in all).

    Raises:
        OutputExistsError: `out` holds studies of another configuration or seed.
        StoreError: the disk is full or the folder can't be written.
        WorkerError: a worker was killed; the studies it may have had are named.
    """
    job = _Job(out, config, seed)
    _check_folder(job)
    tables: dict[int, Rows] = {}
    todo = [(job, index, exam) for index, exam in enumerate(exam_types(config, seed))]
    if progress is not None:
        progress(0, config.studies)
    with closing(run_in_processes(_make_study, todo, workers=workers, preload=__name__, name=_name)) as made:
        for index, rows in made:
            tables[index] = rows
            if progress is not None:
                progress(len(tables), config.studies)
    _write_table(out / "train.csv", [row for index in sorted(tables) for row in tables[index]], seed)


def exam_types(config: PhantomConfig, seed: int) -> list[ExamType]:
    """Return the type of each study: the configured shares, as nearly as any number of studies allows."""
    start = np.random.default_rng([seed, 0, _TYPES]).random()
    places = (start + _GOLDEN * np.arange(config.studies)) % 1.0  # spread evenly however many there are
    indeterminate = places < config.indeterminate_fraction
    positive = ~indeterminate & (places < config.indeterminate_fraction + config.prevalence)
    return [
        "indeterminate" if i else "positive" if p else "negative" for i, p in zip(indeterminate, positive, strict=True)
    ]


def _check_folder(job: _Job) -> None:
    expected = {
        draw_id(np.random.default_rng([job.seed, index]), job.config.identity) for index in range(job.config.studies)
    }
    for path in sorted((job.out / "truth").glob("*.npz")):
        if path.stem not in expected or read_geometry(path)["made_with"] != job.made_with:
            raise OutputExistsError(
                where=job.out,
                expected="an empty folder, or a cohort of this configuration and seed",
                found=f"study {path.stem} of another",
                fix="choose another folder, or delete this one",
            )


def _name(planned: tuple[_Job, int, ExamType]) -> str:
    return f"phantom {planned[1] + 1}"


def _make_study(planned: tuple[_Job, int, ExamType]) -> tuple[int, Rows]:
    """Make one study, unless its truth is there, and return its number and its rows of train.csv."""
    job, index, exam = planned
    rng = np.random.default_rng([job.seed, index])
    uid = draw_id(rng, job.config.identity)
    if not job.truth_path(uid).exists():
        with threadpool_limits(1):  # another number adds in another order, and now and then rounds otherwise
            _write_study(job, index, draw_phantom(rng, job.config, exam), rng, uid)
    return index, read_rows(job.truth_path(uid))


def _write_study(job: _Job, index: int, study: Phantom, rng: np.random.Generator, uid: str) -> None:
    scanner = draw_scanner(rng, job.config, motion=study.findings.motion)
    header = Header.draw(rng, job.config, study.grid, scanner, uid)
    fields = Fields.draw(rng, study.grid.whole())
    images, masks = _acquire(study, scanner, fields, seed=(job.seed, index, _NOISE))
    present = image_area_mm2(masks["embolus"], study.grid.spacing_mm) >= job.config.present_area_mm2
    _write_images(job.out / "train" / uid, header, study, images)
    truth = job.truth_path(uid)
    write_truth(truth, study, header, masks, present, job.made_with)  # last: it marks the study as done


def _acquire(study: Phantom, scanner: Scanner, fields: Fields, *, seed: tuple[int, ...]) -> tuple[np.ndarray, Masks]:
    """Return the images (D, H, W) int16 HU and the masks of a study, slab by slab to bound the memory."""
    images = np.empty(study.grid.shape, dtype=np.int16)
    masks = {name: np.empty(study.grid.shape, dtype=bool) for name in MASKS}
    for slab in study.grid.slabs():
        rendered = render(study, slab.widened(HALO_SLICES), fields)
        hu = scan(rendered.hu, slab.widened(HALO_SLICES), scanner)
        for offset, z in enumerate(slab.z[:, 0, 0]):
            rng = np.random.default_rng([*seed, slab.start + offset])
            add_noise(hu[offset], rng, slab, scanner, float(z))
        images[slab.start : slab.stop] = np.rint(np.clip(hu, _LEAST_HU, _MOST_HU))
        for name, mask in masks.items():
            mask[slab.start : slab.stop] = getattr(rendered, name)[HALO_SLICES:-HALO_SLICES]
    return images, masks


def _write_images(folder: Path, header: Header, study: Phantom, images: np.ndarray) -> None:
    """Write the series beside its place, then move it there as a whole."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    for leftover in (temporary, folder):  # of a run that was killed before the truth was written
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        write_series(temporary / header.series_uid, header, study.grid, images)
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise not_written(folder, error, what="a DICOM series") from error


def _write_table(path: Path, rows: Rows, seed: int) -> None:
    """Write train.csv in no order, as RSPECT's is."""
    order = np.random.default_rng([seed, len(rows), _ROWS]).permutation(len(rows))
    with atomic_path(path) as temporary:
        pd.DataFrame(rows, columns=list(CSV_COLUMNS)).iloc[order].to_csv(temporary, index=False)
