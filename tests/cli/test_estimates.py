"""Estimates against what a tiny run really takes: disk, memory and time within the factors stated here."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

DISK_FACTOR, MEMORY_FACTOR, TIME_FACTOR = 2.5, 1.5, 3.0
PROGRAM = Path(sys.executable).with_name("pectl")


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def estimate_of(folder: Path) -> dict[str, int]:
    return json.loads((folder / "status.json").read_text())["estimate"]


@pytest.mark.parametrize(
    ("result", "part"),
    [("store", "studies"), ("features", "studies"), ("stage1", "checkpoints"), ("tcn", "checkpoints")],
)
def test_disk(chain, result: str, part: str) -> None:
    written, estimated = size(chain.root / result / part), estimate_of(chain.root / result)["disk_bytes"]
    assert estimated / DISK_FACTOR < written < estimated * DISK_FACTOR


@pytest.mark.parametrize(
    ("command", "more"),
    [
        (("train-stage1", "store", "--out"), ("stage1.input_px=96", "stage1.batch_size=48")),
        (("extract-features", "store", "--stage1", "stage1", "--out"), ("stage1.extract_batch_size=64",)),
        (("preprocess", "cohort/train", "--out"), ()),
    ],
)
def test_memory(chain, tmp_path: Path, command: tuple[str, ...], more: tuple[str, ...]) -> None:
    overrides = [part for override in more for part in ("--set", override)]
    arguments = [PROGRAM, *command, tmp_path / "out", "--config", chain.config, *overrides, "--quiet"]
    process = subprocess.Popen(list(map(str, arguments)), cwd=chain.root, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    estimated = estimate_of(tmp_path / "out")["memory_bytes"]
    assert estimated / MEMORY_FACTOR < usage.ru_maxrss * 1024 < estimated * MEMORY_FACTOR


@pytest.mark.slow
def test_time_that_is_left(chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pectl.config import load_config
    from pectl.core.storage.status import StatusFile
    from pectl.steps.train_stage1 import train_stage1

    monkeypatch.setattr("pectl.core.storage.status.HEARTBEAT_SECONDS", 0.0)
    status, told = StatusFile(tmp_path / "eta.json"), {}

    def progress(done: int, total: int) -> None:
        status.update(done, total)
        if 4 * done >= total and not told:
            told.update(json.loads(status.path.read_text()) | {"at": time.monotonic()})

    config = load_config(chain.config, ["stage1.epochs=12"])
    train_stage1(chain.store, tmp_path / "run", config, device="cpu", resume=False, progress=progress)
    left = time.monotonic() - told["at"]
    assert left / TIME_FACTOR < told["eta_seconds"] < left * TIME_FACTOR


def test_checkpoints_of_a_run_count_every_copy(chain) -> None:
    from pectl.config import load_config
    from pectl.training.estimate_networks import estimate_stage1
    from pectl.training.networks import encoder_spec

    config = load_config(chain.config, [])
    weights = (chain.stage1 / "checkpoints" / "best" / "model.safetensors").stat().st_size
    estimate = estimate_stage1(config, encoder_spec(config), gpu=True)
    assert estimate.disk == pytest.approx(11 * weights, rel=0.02)
    assert estimate.gpu_memory > 4 * 0.98 * weights
    on_cpu = estimate_stage1(config, encoder_spec(config), gpu=False)
    assert on_cpu.gpu_memory == 0
    assert on_cpu.memory > estimate.memory
