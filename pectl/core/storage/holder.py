"""Who is at work in a folder, told by its heartbeats: no two commands are to make one result without knowing it."""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pectl.errors import HeldError

STALE_SECONDS = 300.0
"""A heartbeat of another machine that is older belongs to a process that was killed; steps take less."""
WHOLE = "status.json"
"""The heartbeat of a command that does all the work, not a share."""


def this_process() -> dict[str, Any]:
    """Return what a heartbeat says of this process; in a SLURM job its number too."""
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "process_start": _start_of(os.getpid())}
    return mine | ({"slurm_job": os.environ["SLURM_JOB_ID"]} if "SLURM_JOB_ID" in os.environ else {})


def refuse_if_held(heartbeat: Path) -> None:
    """Refuse to work where another process does.

    Shares of the work (`status-1-of-4.json`) go on beside each other; the same share, and all the work, do not.

    Raises:
        HeldError: another living process has this heartbeat, or one that stands for the same work.
    """
    for path in _rivals(heartbeat):
        fields = _read(path)
        if fields is not None and _lives(fields):
            raise HeldError(
                where=heartbeat.parent,
                expected="a folder in which no other command is at work",
                found=f"process {fields['pid']} on {fields['host']}{_job(fields)}, at work since {fields['started']} "
                f"and last heard of {_age(fields):.0f} s ago",
                fix=f"wait for it or end it, or choose another --out; if you know that it is dead, delete {path.name}",
            )


def _rivals(heartbeat: Path) -> Iterator[Path]:
    yield heartbeat
    if heartbeat.name == WHOLE:
        yield from sorted(heartbeat.parent.glob("status-*-of-*.json"))
    elif heartbeat.name.startswith("status-"):
        yield heartbeat.with_name(WHOLE)


def _read(path: Path) -> dict[str, Any] | None:
    """Return a heartbeat; None where there is none, or it can't be read: it is no obstacle then."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return fields if {"pid", "host", "started", "updated"} <= fields.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _lives(fields: Mapping[str, Any]) -> bool:
    """Whether a heartbeat is of another process that still works.

    On this machine the process is looked for; elsewhere its heartbeat's age says it. A job that SLURM has put back to
    the queue has the number of the one that was killed.
    """
    mine = this_process()
    if fields.get("state") != "running" or is_mine(fields):
        return False
    if fields["host"] == mine["host"]:
        start = _start_of(int(fields["pid"]))
        return start is not None and start == fields.get("process_start", start)
    same_job = "slurm_job" in mine and mine["slurm_job"] == fields.get("slurm_job")
    return not same_job and _age(fields) < STALE_SECONDS


def is_mine(fields: Mapping[str, Any]) -> bool:
    """Whether a heartbeat is of this process."""
    mine = this_process()
    return all(fields.get(name) == mine[name] for name in ("pid", "host", "process_start"))


def _start_of(pid: int) -> int | None:
    """Return when a process of this machine began, in clock ticks since the machine did; None where there is none."""
    try:
        after_name = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(after_name[19])  # field 22 of proc(5); the name, field 2, may hold spaces


def _age(fields: Mapping[str, Any]) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(fields["updated"])).total_seconds()


def _job(fields: Mapping[str, Any]) -> str:
    return f" (SLURM job {fields['slurm_job']})" if "slurm_job" in fields else ""
