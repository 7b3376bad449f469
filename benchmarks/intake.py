"""The rows of the speed table about DICOM: reading to HU, preprocessing, memory; processor time of one core.

Baselines. `floor`: the bytes of each file copied into an array. `tags + frombuffer`: pydicom for eight tags, the pixels
from the end of the file. `decoder alone`: compressed pixels that are in memory already. `pydicom as commonly used`:
all of each file, `pixel_array * slope + intercept`. `the paper's steps`: the same, then a cubic zoom to 1 mm
(`scipy.ndimage.zoom`, order 3), three HU ranges, and a file per slice; without its lung network and its pickles.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from pydicom.encaps import get_frame
from pydicom.pixels import pixel_array
from scipy import ndimage

from benchmarks.series import PIXEL_MM, SIDE, SLICES, STEP_MM, SYNTAXES, write_series
from benchmarks.timing import Row, processor_seconds
from pectl.core.dicom.headers import find_files, read_header
from pectl.core.dicom.lossless_jpeg import decode_lossless_jpeg
from pectl.core.intake.volume import read_volume

_TAGS = [
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "RescaleSlope",
    "RescaleIntercept",
    "SeriesInstanceUID",
]
_RANGES_HU = ((-1350.0, 150.0), (-250.0, 450.0), (-160.0, 240.0))
_PREPROCESS = """
import re, sys, time
from pathlib import Path
from typer.testing import CliRunner
import pectl.steps.preprocess
import pectl.core.intake.store_index, pectl.core.labels.split_shares, rich.table  # which the command imports late
from pectl.cli.app import app
begin, begin_wall = time.process_time(), time.perf_counter()
done = CliRunner().invoke(app, ["preprocess", sys.argv[1], "--out", sys.argv[2], "--quiet"])
seconds, wall = time.process_time() - begin, time.perf_counter() - begin_wall
assert "1 studies done" in done.output, done.output
print(seconds, wall, re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def intake_rows(folder: Path) -> list[Row]:
    """Measure all; files go to `folder`, the study store of the uncompressed series stays in `folder/store`."""
    rows = []
    for name, syntax in SYNTAXES.items():
        root = folder / "dicom"
        write_series(root, syntax)
        with one_core():
            rows += [_reading(root, name), _preprocessing(root, name, folder / "store")]
            if name == "JPEG lossless":
                rows.append(_decoding(root))
        if name == "JPEG 2000":
            rows.append(_on_all_cores(root, name, folder / "store"))
        shutil.rmtree(root)
    return rows


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process and those it starts on one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _reading(root: Path, name: str) -> Row:
    works = [lambda: _read_ours(root), lambda: read_commonly(root)]
    if name == "uncompressed":
        mine, theirs, floor, tags = processor_seconds(*works, lambda: _copy_bytes(root), lambda: _read_tags(root))
        more = f"floor {floor:.3f} s; tags + frombuffer {tags:.3f} s"
    else:
        datasets = [pydicom.dcmread(path) for path in root.iterdir()]
        works.append(lambda: [pixel_array(dataset, raw=True) for dataset in datasets])
        mine, theirs, decoding = processor_seconds(*works, repeats=1)
        more = f"decoder alone {decoding:.2f} s"
    baseline = f"{more}; pydicom as commonly used {theirs:.2f} s"
    return (f"read + HU {SLICES}x{SIDE}x{SIDE}, {name}", f"{mine:.3f} s", baseline, f"{theirs / mine:.1f}")


def _decoding(root: Path) -> Row:
    datasets = [pydicom.dcmread(path) for path in root.iterdir()]
    streams = [get_frame(dataset.PixelData, 0, number_of_frames=1) for dataset in datasets]
    mine, theirs = processor_seconds(
        lambda: [decode_lossless_jpeg(stream) for stream in streams],
        lambda: [pixel_array(dataset, raw=True) for dataset in datasets],
    )
    path = f"decode a slice of {SIDE}x{SIDE}, JPEG lossless"
    return (path, f"{1000 * mine / SLICES:.2f} ms", f"GDCM {1000 * theirs / SLICES:.2f} ms", f"{theirs / mine:.1f}")


def _preprocessing(root: Path, name: str, store: Path) -> Row:
    runs = [_preprocess(root, store) for _ in range(3)]
    mine, memory = min(run.seconds for run in runs), max(run.megabytes for run in runs)
    (theirs,) = processor_seconds(lambda: paper_steps(root, store.with_name("slices")), repeats=1)
    figure = f"{mine:.2f} s, {memory:.0f} MB"
    path = f"preprocess {SLICES}x{SIDE}x{SIDE}, {name}"
    return (path, figure, f"the paper's steps {theirs:.1f} s", f"{theirs / mine:.0f}")


def _on_all_cores(root: Path, name: str, store: Path) -> Row:
    with one_core():
        one = _preprocess(root, store)
    both = _preprocess(root, store)
    path = f"preprocess {SLICES}x{SIDE}x{SIDE}, {name}, wall time on {len(os.sched_getaffinity(0))} cores"
    return (path, f"{both.wall:.2f} s", f"on one core {one.wall:.2f} s", f"{one.wall / both.wall:.1f}")


def _read_ours(root: Path) -> None:
    headers = [header for path in find_files(root) if (header := read_header(path)) is not None]
    read_volume(tuple(headers), min_slices=16, max_gap_mm=10.0)


class _Run(NamedTuple):
    """Processor and wall time of a new process' `pectl preprocess`, imports left out, and its peak memory."""

    seconds: float
    wall: float
    megabytes: float


def _preprocess(root: Path, store: Path) -> _Run:
    shutil.rmtree(store, ignore_errors=True)
    command = [sys.executable, "-c", _PREPROCESS, str(root), str(store)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, wall, kilobytes = map(float, done.stdout.split()[-3:])
    return _Run(seconds, wall, kilobytes / 1000)


def _copy_bytes(root: Path) -> None:
    volume = np.empty((SLICES, SIDE, SIDE), np.int16)
    for path, plane in zip(sorted(root.iterdir()), volume, strict=True):
        plane[...] = np.frombuffer(path.read_bytes()[-plane.nbytes :], np.int16).reshape(plane.shape)


def _read_tags(root: Path) -> np.ndarray:
    slices = []
    for path in root.iterdir():
        tags = pydicom.dcmread(path, specific_tags=_TAGS, stop_before_pixels=True)
        slices.append((float(tags.ImagePositionPatient[2]), tags, path))
    slices.sort(key=lambda item: item[0])
    volume = np.empty((len(slices), SIDE, SIDE), np.int16)
    for plane, (_, tags, path) in zip(volume, slices, strict=True):
        stored = np.frombuffer(path.read_bytes()[-2 * SIDE * SIDE :], "<u2").reshape(plane.shape)
        plane[...] = stored * np.int16(tags.RescaleSlope) + np.int16(tags.RescaleIntercept)
    return volume


def read_commonly(root: Path) -> np.ndarray:
    """Read a series as most programs do: (D, H, W) int16."""
    slices = [pydicom.dcmread(path) for path in root.iterdir()]
    slices.sort(key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    images = [dataset.pixel_array * dataset.RescaleSlope + dataset.RescaleIntercept for dataset in slices]
    return np.stack(images).astype(np.int16)


def paper_steps(root: Path, out: Path) -> None:
    """Read, bring to 1 mm, cut into three HU ranges and write a file per slice."""
    out.mkdir(exist_ok=True)
    volume = ndimage.zoom(read_commonly(root), (STEP_MM, PIXEL_MM, PIXEL_MM), order=3)
    for place, plane in enumerate(volume):
        channels = [np.clip((plane - low) / (high - low), 0.0, 1.0) * 255.0 for low, high in _RANGES_HU]
        np.save(out / f"{place}.npy", np.stack(channels, axis=-1).astype(np.uint8))
    shutil.rmtree(out)
