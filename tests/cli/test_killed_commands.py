"""The training commands themselves, killed or stopped at random points and resumed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
KILLS = 20
STAGES = {
    "train-stage1": ("store", {"stage1.epochs": 60, "stage1.batch_size": 8, "stage1.checkpoint_minutes": 1e-6}),
    "train-stage2": ("features", {"stage2.epochs": 250, "stage2.batch_size": 3, "stage2.checkpoint_minutes": 1e-6}),
}
RESULTS = ("metrics.csv", "checkpoints/last/model.safetensors", "checkpoints/best/model.safetensors")


def start(chain, stage: str, out: Path, *more: str) -> subprocess.Popen[bytes]:
    """Start a command; its stderr goes into `stderr` beside the run."""
    source, settings = STAGES[stage]
    overrides = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = [
        sys.executable,
        "-m",
        "pectl",
        stage,
        getattr(chain, source),
        "--out",
        out,
        "--config",
        chain.config,
        "--resume",
        "--quiet",
        *overrides,
        *more,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (out.parent / "stderr").open("w") as stderr:
        return subprocess.Popen([*map(str, command)], stderr=stderr, env=environment)


def await_checkpoint(out: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has saved something new, or has ended."""
    state = out / "checkpoints" / "last" / "state.pt"
    before = state.stat().st_mtime_ns if state.exists() else 0
    while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
        time.sleep(0.01)


@pytest.mark.parametrize("stage", STAGES)
def test_killed_twenty_times_and_resumed_ends_the_same_to_the_bit(chain, tmp_path: Path, stage: str) -> None:
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert start(chain, stage, whole).wait() == 0
    rng = random.Random(0)
    for kill in range(KILLS):
        process = start(chain, stage, out)
        if kill % 5:  # every fifth while it starts, the others while it trains, validates or saves
            await_checkpoint(out, process)
        time.sleep(rng.uniform(0, 0.6))
        process.kill()
        assert process.wait() == -signal.SIGKILL, "the training ended before it was killed so often"
    assert start(chain, stage, out).wait() == 0
    for name in RESULTS:
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_stopped_at_any_time_exits_75_within_seconds(chain, tmp_path: Path, stage: str, number: int) -> None:
    """While it imports, while it prepares, and in its steps; the latencies are printed."""
    for moment in (1.0, 3.0, None):
        process = start(chain, stage, tmp_path / "run")
        if moment is None:
            await_checkpoint(tmp_path / "run", process)
        else:
            time.sleep(moment)
        process.send_signal(number)
        begun = time.monotonic()
        process.wait(120)
        err = (tmp_path / "stderr").read_text()
        sys.stdout.write(f"{stage}, {signal.Signals(number).name} at {moment}: {time.monotonic() - begun:.2f} s\n")
        assert process.returncode == 75, err
        assert err.count("\n") == 1
        assert "run the command again with --resume" in err


def test_compiled_channels_first_averaged_in_two_passes(chain, tmp_path: Path) -> None:
    """All switches of stage 1 together, as a user sets them."""
    switches = ("compile=true", "channels_last=false", "ema_decay=0.9", "accumulate=2", "clip_norm=1.0", "epochs=2")
    settings = [word for switch in switches for word in ("--set", f"stage1.{switch}")]
    process = start(chain, "train-stage1", tmp_path / "run", *settings)
    assert process.wait(900) == 0, (tmp_path / "stderr").read_text()
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert len(rows) == 3
