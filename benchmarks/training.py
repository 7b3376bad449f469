"""Training and extraction: reading windows, steps and each switch of them, memory by the size of the cohort.

By itself: python -m benchmarks.training [reading] [extraction] [steps] [memory]
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.timing import Row, shortest
from pectl.config import Config, Stage1Config, WindowsConfig
from pectl.core.batches.intensity import prepare
from pectl.core.batches.share import Share, whole
from pectl.core.batches.windows import WindowIndex, WindowReader
from pectl.core.labels.names import MULTITASK_LABELS
from pectl.core.storage.h5 import VOXEL_FILTER, create_h5
from pectl.core.stores.paths import study_path
from pectl.inference.precision import choose_precision
from pectl.training.device import make_fabric
from pectl.training.loader import Batch, Key, Loader
from pectl.training.losses import mean_loss
from pectl.training.networks import new_encoder
from pectl.training.stage1 import Stage1Task, WindowSource
from pectl.training.step import Stepper

SLICES, LENGTH = 120, 10
DEMO = Stage1Config(backbone="slim_16", input_px=96, batch_size=16, slice_loss_weight=1.0)
LARGE = Stage1Config(backbone="r3d_18", input_px=192, batch_size=2)
SWITCHES = {
    "fp32, channels last (the default)": {},
    "channels first": {"channels_last": False},
    "accumulate = 2": {"accumulate": 2},
    "ema_decay = 0.999": {"ema_decay": 0.999},
    "clip_norm = 1": {"clip_norm": 1.0},
    "compile": {"compile": True},
    "precision = bf16": {"precision": "bf16"},
}


def reading_rows(folder: Path) -> Iterator[Row]:
    """Measure random windows from a thread and from processes."""
    source = make_source(folder, studies=16, side=224)
    yield from (_windows(source, workers) for workers in (0, 1, 2))


def step_rows(folder: Path) -> Iterator[Row]:
    """Measure steps of a small and a large model, by who reads and with each switch."""
    demo, large = (make_source(folder, studies=16, side=side) for side in (96, 224))
    for name, config, windows, steps in (
        ("slim_16, 96 px, 16", DEMO, demo, 6),
        ("r3d_18, 192 px, 2", LARGE, large, 2),
    ):
        yield from (_fed_step(name, config, windows, workers, steps) for workers in (0, 1, 2))
        yield from _switch_rows(name, config, windows, steps)


def make_source(folder: Path, *, studies: int, side: int) -> WindowSource:
    """Make a store of noisy chests, one file under many names, and index its windows with random labels."""
    rng = np.random.default_rng(0)
    first = study_path(folder / f"store-{side}", "0")
    if not first.exists():
        y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
        hu = np.where((abs(x) - 0.45) ** 2 / 0.15 + y**2 / 0.7 < 1, -850, 40) + rng.normal(0, 15, (SLICES, side, side))
        with create_h5(first) as file:
            file.create_dataset("hu", data=hu.astype(np.int16), chunks=(1, side, side), **VOXEL_FILTER)
    for number in range(1, studies):
        path = study_path(folder / f"store-{side}", str(number))
        if not path.exists():
            os.link(first, path)
    labels = {str(number): rng.integers(0, 2, SLICES).astype(np.int8) for number in range(studies)}
    index = WindowIndex.build(labels, length=LENGTH, stride=5)
    reader = WindowReader(partial(study_path, folder / f"store-{side}"), length=LENGTH)
    ones = np.ones(studies, np.float32)
    unknown = np.full((studies, len(MULTITASK_LABELS)), np.nan, np.float32)
    return WindowSource(
        reader, {"train": index, "val": index}, {"train": unknown, "val": unknown}, {"train": ones, "val": ones}
    )


def _keys(source: WindowSource, size: int, count: int) -> list[Key]:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, len(source.splits["train"]), (count, size))
    return [Key("train", row, whole(size)) for row in rows]


def _windows(source: WindowSource, workers: int) -> Row:
    """Read random windows as fast as they come, once every place in shared memory has been used."""
    batches = Loader(source, workers=workers).read(_keys(source, 16, 272), [])
    for _ in range(16):
        next(batches)
    begin = time.perf_counter()
    count = sum(len(batch[0]) for batch in batches)
    rate = count / (time.perf_counter() - begin)
    how = f"{workers} workers" if workers else "a thread (0 workers)"
    return (f"random windows 10x224x224, {how}", f"{rate:.0f}/s", "", "")


def _stepping(config: Stage1Config, source: WindowSource) -> Callable[[int, Key, Batch], float]:
    """Return what makes one step with a batch."""
    experiment = Config(stage1=config, windows=WindowsConfig(length=LENGTH, stride=5))
    fabric = make_fabric("cpu", choose_precision("cpu", config.precision, key="stage1.precision"))
    task = Stage1Task(new_encoder(experiment), source, experiment, fabric)
    stepper = Stepper(task.model, config, fabric=fabric, seed=0, steps_per_epoch=100, compiled=config.compile)

    def step(number: int, key: Key, batch: Batch) -> float:
        weights = task.weights(batch)

        def loss_of(model: torch.nn.Module, part: Share) -> torch.Tensor:
            return mean_loss(task.sums(model, tuple(tensor[part.rows] for tensor in batch), part), weights)

        return stepper.step(number, key.share, loss_of)

    return step


def _fed_step(name: str, config: Stage1Config, source: WindowSource, workers: int, steps: int) -> Row:
    """Compare steps on batches that are read with steps on one batch in memory, in turns."""
    step = _stepping(config, source)
    keys = _keys(source, config.batch_size, 2 * steps + 1)
    batches = Loader(source, workers=workers).read(keys, [])
    resident = next(batches)
    step(0, keys[0], resident)

    def run(feed: Iterator[Batch]) -> float:
        begin = time.perf_counter()
        for number in range(steps):
            step(number, keys[0], next(feed))
        return (time.perf_counter() - begin) / steps

    pairs = [(run(batches), run(iter([resident] * steps))) for _ in range(2)]
    fed, still = (min(times) for times in zip(*pairs, strict=True))
    baseline = f"one resident batch {1 / still:.2f} steps/s"
    return (f"train step {name}, {workers} workers", f"{1 / fed:.2f} steps/s", baseline, f"{still / fed:.2f}")


def _switch_rows(name: str, config: Stage1Config, source: WindowSource, steps: int) -> list[Row]:
    key = _keys(source, config.batch_size, 1)[0]
    batch, rows, first = source(key), [], 0.0
    for switch, update in SWITCHES.items():
        step = _stepping(config.model_copy(update=update), source)
        step(0, key, batch)  # compiles, if it does
        seconds = shortest(lambda step=step: step(1, key, batch), repeats=steps)
        first = first or seconds
        rows.append(
            (
                f"step {name}, {switch}",
                f"{1 / seconds:.2f} steps/s",
                f"default {1 / first:.2f}",
                f"{first / seconds:.2f}",
            )
        )
    return rows


@torch.inference_mode()
def extraction_rows(folder: Path) -> list[Row]:
    """Compare r3d_18 over windows of 192 px in eager fp32 with what extract-features does."""
    source = make_source(folder, studies=16, side=224)
    experiment = Config(stage1=LARGE.model_copy(update={"channels_last": False}))
    torch.manual_seed(0)
    model = new_encoder(experiment).eval()
    hu, gain, *_ = source(_keys(source, 8, 1)[0])
    x = prepare(hu, gain, experiment.windows, LARGE.input_px)
    plain = x.contiguous()
    reference = model.forward_features(plain).pooled
    eager = shortest(lambda: model.forward_features(plain), repeats=2)
    model = model.to(memory_format=torch.channels_last_3d)
    rows = []
    for precision in ("fp32", "bf16"):
        fabric = make_fabric("cpu", precision)  # type: ignore[arg-type]

        def forward(inputs: Callable[[], torch.Tensor], fabric: object = fabric) -> torch.Tensor:
            with fabric.autocast():  # type: ignore[attr-defined]
                return model.forward_features(inputs()).pooled.float()

        bare = shortest(partial(forward, lambda: x), repeats=4)
        ours = shortest(partial(forward, lambda: prepare(hu, gain, experiment.windows, LARGE.input_px)), repeats=4)
        cosine = torch.nn.functional.cosine_similarity(reference, forward(lambda: x)).min().item()
        rows.append(
            (
                f"extraction r3d_18 192 px, {precision} channels last",
                f"{8 / ours:.2f} windows/s",
                f"eager fp32 {8 / eager:.2f}; bare forward {8 / bare:.2f}; cosine {cosine:.6f}",
                f"{eager / ours:.2f}; {bare / ours:.2f}",
            )
        )
    return rows


_MEMORY = """
import re, sys
from pathlib import Path
from benchmarks.training import _keys, make_source
from pectl.training.loader import Loader
source = make_source(Path(sys.argv[1]), studies=int(sys.argv[2]), side=224)
for batch in Loader(source).read(_keys(source, 16, 200), []): pass
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def memory_rows(folder: Path) -> Iterator[Row]:
    """Measure the peak memory of reading 3,200 random windows, by the number of studies."""
    for studies in (100, 1000, 5000):
        done = subprocess.run(
            [sys.executable, "-c", _MEMORY, str(folder), str(studies)], check=True, capture_output=True, text=True
        )
        yield (f"memory, 3,200 random windows of {studies} studies", f"{int(done.stdout) / 1000:.0f} MB", "", "")


PARTS = {"reading": reading_rows, "extraction": extraction_rows, "steps": step_rows, "memory": memory_rows}


def main(parts: list[str]) -> None:
    """Print the rows of these parts, or of all, as they are measured."""
    print("| path | pectl | baseline | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for part in parts or PARTS:
            for row in PARTS[part](Path(scratch)):
                print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
