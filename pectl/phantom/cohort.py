"""The synthetic cohort: DICOM in RSPECT's layout, train.csv, and the truth of each study."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from pectl.config import PhantomConfig
from pectl.core.data.files import atomic_path
from pectl.phantom.dicom import Header, write_series
from pectl.phantom.emboli import image_area_mm2
from pectl.phantom.fields import SmoothField
from pectl.phantom.labels import CSV_COLUMNS, exam_labels
from pectl.phantom.render import Fields, Rendered, render
from pectl.phantom.scanner import KERNELS, scan
from pectl.phantom.study import Study, draw_study


def make_cohort(
    out: Path,
    config: PhantomConfig,
    *,
    seed: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write `config.studies` studies to `out/train`, their truth to `out/truth`, and `out/train.csv`.

    The same (config, seed) gives the same bytes whatever `workers` is. Studies whose truth is already there are kept.

    Args:
        out: the cohort's folder.
        config: size and difficulty.
        seed: of the cohort; study i draws from `default_rng([seed, i])`.
        workers: processes.
        progress: called with (studies done, studies in all).
    """
    make = partial(_make_study, out, config, seed)
    tables: dict[int, list[list[object]]] = {}
    for index, rows in _each(make, config.studies, workers):
        tables[index] = rows
        if progress is not None:
            progress(len(tables), config.studies)
    rows = [row for index in sorted(tables) for row in tables[index]]
    order = np.random.default_rng([seed, config.studies, 0]).permutation(len(rows))
    table = pd.DataFrame(rows, columns=list(CSV_COLUMNS)).iloc[order]
    with atomic_path(out / "train.csv") as temporary:
        table.to_csv(temporary, index=False)


Rows = list[list[object]]


def _each(make: Callable[[int], Rows], count: int, workers: int) -> Iterator[tuple[int, Rows]]:
    if workers <= 1:
        yield from ((index, make(index)) for index in range(count))
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(make, index): index for index in range(count)}
        yield from ((futures[future], future.result()) for future in as_completed(futures))


def _make_study(out: Path, config: PhantomConfig, seed: int, index: int) -> Rows:
    """Make one study, unless its truth is there, and return its rows of train.csv."""
    rng = np.random.default_rng([seed, index])
    study = draw_study(rng, config)
    kernel = str(rng.choice(list(KERNELS)))
    header = Header.draw(rng, study.grid, study.uid, kernel)
    truth = out / "truth" / f"{study.uid}.npz"
    if truth.exists():
        with np.load(truth) as data:
            areas = image_area_mm2(data["embolus"], study.grid.spacing_mm)
        return _rows(study, header, areas >= config.present_area_mm2)
    images, masks = _images(study, rng, kernel, seed, index)
    write_series(out / "train" / study.uid / header.series_uid, header, study.grid, images)
    _write_truth(truth, study, header, masks)
    areas = image_area_mm2(masks["embolus"], study.grid.spacing_mm)
    return _rows(study, header, areas >= config.present_area_mm2)


def _images(
    study: Study, rng: np.random.Generator, kernel: str, seed: int, index: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    whole = study.grid.whole()
    fields = Fields(SmoothField.make(rng, whole, 25.0), SmoothField.make(rng, whole, 9.0))
    images = np.empty(study.grid.shape, dtype=np.int16)
    masks = {name: np.empty(study.grid.shape, dtype=bool) for name in ("embolus", "artery", "lung")}
    for slab in study.grid.slabs():
        rendered: Rendered = render(study, slab, fields)
        part = slice(slab.start, slab.stop)
        rngs = [
            np.random.default_rng([seed, index, 1, position]) for position in range(slab.start, slab.stop)
        ]
        hu = scan(
            rendered.hu, kernel=kernel, noise_hu=study.noise_hu, pixel_mm=study.grid.spacing_mm[1], rngs=rngs
        )
        images[part] = np.rint(np.clip(hu, -1024, 3071))
        for name, mask in masks.items():
            mask[part] = getattr(rendered, name)
    return images, masks


def _rows(study: Study, header: Header, present: np.ndarray) -> Rows:
    labels = exam_labels(study.findings)
    rows: Rows = []
    for sop_uid, shown in zip(header.sop_uids, present, strict=True):
        values = {
            "StudyInstanceUID": study.uid, "SeriesInstanceUID": header.series_uid, "SOPInstanceUID": sop_uid,
            "pe_present_on_image": int(shown),
        } | labels  # fmt: skip
        rows.append([values[column] for column in CSV_COLUMNS])
    return rows


def _write_truth(path: Path, study: Study, header: Header, masks: dict[str, np.ndarray]) -> None:
    heart = study.anatomy.heart
    emboli = [
        {
            "centre_lps_mm": study.grid.to_lps(embolus.path.mean(axis=0))[0].round(2).tolist(),
            "kind": embolus.kind, "sides": sorted(study.findings.sides(embolus)), "length_mm": round(embolus.length_mm, 2),
            "vessel_radius_mm": round(float(embolus.radii_mm.mean()), 2), "lumen_share": round(embolus.share, 3),
            "hu": round(embolus.hu, 1),
        }
        for embolus in study.findings.emboli
    ]  # fmt: skip
    geometry = {
        "rv_diameter_mm": heart.rv_diameter_mm, "lv_diameter_mm": heart.lv_diameter_mm,
        "rv_lv_ratio": study.findings.rv_lv_ratio, "trunk_radius_mm": study.anatomy.trunk_radius_mm,
        "emboli": emboli, "labels": exam_labels(study.findings),
    }  # fmt: skip
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file, **masks, affine=study.grid.affine, spacing_mm=np.array(study.grid.spacing_mm),
            sop_instance_uid=np.array(header.sop_uids), geometry=np.array(json.dumps(geometry)),
        )  # fmt: skip
