"""Extraction whose windows share the early layers of their slices, beside each window by itself.

By itself, on one core: OMP_NUM_THREADS=1 python -m benchmarks.sharing
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from benchmarks.timing import Row, processor_seconds
from benchmarks.tiny_store import blank_study
from pectl.config import WindowsConfig
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.stores.study_store import Study
from pectl.inference.device import Chosen, make_engine
from pectl.inference.encoder import StudyEncoder

SLICES, PX, LENGTH = 96, 128, 10
CASES: list[tuple[str, int, Chosen]] = [
    ("slim_16", 5, "fp32"),
    ("slim_16", 10, "fp32"),
    ("slim_32", 5, "fp32"),
    ("slim_16", 5, "bf16"),
]


def sharing_rows() -> Iterator[Row]:
    """Measure each backbone, stride and precision; both ways take turns."""
    rng = np.random.default_rng(0)
    study = replace(blank_study("0", SLICES), hu=rng.integers(-1000, 600, (SLICES, PX, PX)).astype(np.int16))
    for backbone, stride, precision in CASES:
        shared, apart = (_encoder(backbone, stride, precision) for _ in range(2))
        apart.model.slices_apart = False
        yield _row(f"extraction {backbone}, stride {stride}, {precision}", shared, apart, study)


def _row(what: str, shared: StudyEncoder, apart: StudyEncoder, study: Study) -> Row:
    difference = np.abs(shared.encode(study).features - apart.encode(study).features).max()
    ours, before = processor_seconds(partial(shared.encode, study), partial(apart.encode, study), repeats=5)
    baseline = f"each window by itself {before:.3f} s; features differ by {difference:.0e}"
    return (what, f"{ours:.3f} s", baseline, f"{before / ours:.2f}")


def _encoder(backbone: str, stride: int, precision: Chosen) -> StudyEncoder:
    torch.manual_seed(0)
    windows = WindowsConfig(length=LENGTH, stride=stride)
    spec = Stage1Spec(backbone=backbone, in_channels=len(windows.hu_ranges), slice_supervision=True)
    engine = make_engine("cpu", precision)
    return StudyEncoder(model=WindowEncoder(spec), windows=windows, input_px=PX, engine=engine)


if __name__ == "__main__":
    for row in sharing_rows():
        print("| " + " | ".join(row) + " |", flush=True)
