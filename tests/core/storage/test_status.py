"""The heartbeat: what it says, how often, and how it ends."""

import json
import os
from pathlib import Path

import pytest

from pectl.core.storage import status as module
from pectl.core.storage.status import StatusFile, mark_failed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_it_says_where_the_command_stands(tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    path = tmp_path / "run" / "status.json"
    status = StatusFile(path)
    status.note(estimate={"disk_bytes": 5})
    assert not path.exists()
    status.update(100, 400, epoch=2)  # goes on with 100 done
    assert read(path)["step"] == 100
    assert "rate" not in read(path)
    clock[0] += 9.0
    status.update(118, 400, epoch=2)
    assert read(path)["step"] == 100, "a write within ten seconds"
    clock[0] += 1.0
    status.update(120, 400, epoch=3)
    found = read(path)
    assert found.pop("started").endswith("+00:00")
    assert found.pop("updated").endswith("+00:00")
    assert found.pop("host")
    assert found.pop("process_start") > 0
    assert found == {
        "state": "running",
        "step": 120,
        "total": 400,
        "rate": 2.0,
        "eta_seconds": 140,
        "pid": os.getpid(),
        "epoch": 3,
        "estimate": {"disk_bytes": 5},
        "slurm_job": "42",
    }


def test_it_says_how_the_command_ended(tmp_path: Path) -> None:
    status = StatusFile(tmp_path / "status.json")
    status.update(1, 4)
    status.end("interrupted", error="a signal")
    assert (read(status.path)["state"], read(status.path)["error"], read(status.path)["step"]) == (
        "interrupted",
        "a signal",
        1,
    )
    status.end("done")
    assert (read(status.path)["state"], read(status.path)["step"]) == ("done", 4)
    assert not list(tmp_path.glob(".*"))


def test_what_never_began_leaves_nothing_behind(tmp_path: Path) -> None:
    StatusFile(tmp_path / "store" / "status.json").end("failed", error="no such folder")
    assert not (tmp_path / "store").exists()


def test_only_a_heartbeat_of_this_process_is_marked_as_failed(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    mark_failed(path, ValueError("bad"))
    assert not path.exists()
    status = StatusFile(path)
    status.end("done")
    mark_failed(path, ValueError("bad"))
    assert read(path)["state"] == "done"
    other = StatusFile(tmp_path / "other.json")
    other.update(1, 2)
    mark_failed(other.path, ValueError("bad"))
    assert (read(other.path)["state"], read(other.path)["error"]) == ("failed", "bad")
