"""Two commands in one folder: who is told, who is let through."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pectl.core.storage.holder import refuse_if_held, this_process
from pectl.core.storage.status import StatusFile
from pectl.errors import HeldError

HELD = r"expected a folder in which no other command is at work, found process"


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives beside this one."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def start_of(pid: int) -> int:
    return int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[19])


def heartbeat(path: Path, *, seconds_ago: float = 0.0, **fields: object) -> None:
    stamp = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat(timespec="seconds")
    shown = {"state": "running", "started": "2026-01-01T00:00:00+00:00", "updated": stamp, "host": socket.gethostname()}
    path.write_text(json.dumps(shown | fields))


def test_a_living_process_of_this_machine_holds_its_folder(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    path = tmp_path / "status.json"
    heartbeat(path, pid=other.pid, process_start=start_of(other.pid), seconds_ago=9000)
    with pytest.raises(HeldError) as error:
        refuse_if_held(path)
    assert re.fullmatch(
        rf"{re.escape(str(tmp_path))}: {HELD} {other.pid} on {socket.gethostname()}, at work since "
        r"2026-01-01T00:00:00\+00:00 and last heard of 900\d s ago; wait for it or end it, or choose another --out; "
        r"if you know that it is dead, delete status\.json",
        str(error.value),
    )


def test_a_process_that_was_killed_holds_nothing(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    path, start = tmp_path / "status.json", start_of(other.pid)
    heartbeat(path, pid=other.pid, process_start=start - 1)  # its number has been given to another since
    refuse_if_held(path)
    other.kill()
    other.wait()
    heartbeat(path, pid=other.pid, process_start=start)
    refuse_if_held(path)


@pytest.mark.parametrize("state", ["done", "failed", "interrupted"])
def test_a_command_that_has_ended_holds_nothing(tmp_path: Path, other: subprocess.Popen[bytes], state: str) -> None:
    heartbeat(tmp_path / "status.json", pid=other.pid, process_start=start_of(other.pid), state=state)
    refuse_if_held(tmp_path / "status.json")


def test_another_machine_is_judged_by_the_age_of_its_heartbeat(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    heartbeat(path, pid=1, host="node7", seconds_ago=290, slurm_job="42")
    with pytest.raises(HeldError, match=rf"{HELD} 1 on node7 \(SLURM job 42\), at work since .* last heard of 29\d s"):
        refuse_if_held(path)
    heartbeat(path, pid=1, host="node7", seconds_ago=310)
    refuse_if_held(path)


def test_a_job_that_slurm_runs_again_elsewhere_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "status.json"
    heartbeat(path, pid=1, host="node7", slurm_job="42")
    monkeypatch.setenv("SLURM_JOB_ID", "43")
    with pytest.raises(HeldError, match=HELD):
        refuse_if_held(path)
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    refuse_if_held(path)


def test_shares_work_beside_each_other_but_not_beside_the_whole(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    theirs = {"pid": other.pid, "process_start": start_of(other.pid)}
    heartbeat(tmp_path / "status-1-of-3.json", **theirs)
    refuse_if_held(tmp_path / "status-2-of-3.json")
    for name in ("status-1-of-3.json", "status.json"):
        with pytest.raises(HeldError, match=rf"{HELD} {other.pid} .* delete status-1-of-3\.json"):
            refuse_if_held(tmp_path / name)
    heartbeat(tmp_path / "status-1-of-3.json", **theirs, state="done")
    heartbeat(tmp_path / "status.json", **theirs)
    with pytest.raises(HeldError, match=r"delete status\.json"):
        refuse_if_held(tmp_path / "status-2-of-3.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1'])
def test_a_heartbeat_that_says_nothing_is_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / "status.json").write_text(text)
    refuse_if_held(tmp_path / "status.json")


def test_of_two_that_began_at_once_the_first_to_look_again_stops(
    tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    status = StatusFile(tmp_path / "status.json")
    status.update(0, 10)
    assert json.loads(status.path.read_text()).items() >= this_process().items()
    heartbeat(status.path, pid=other.pid, process_start=start_of(other.pid))
    status._written = -100.0  # ten seconds later
    with pytest.raises(HeldError, match=rf"{HELD} {other.pid} on"):
        status.update(1, 10)
    status.end("failed", error="held")
    assert json.loads(status.path.read_text())["pid"] == other.pid


def test_a_process_may_work_where_it_has_worked(tmp_path: Path) -> None:
    heartbeat(tmp_path / "status.json", **this_process())
    assert os.getpid() == this_process()["pid"]
    StatusFile(tmp_path / "status.json").claim()
