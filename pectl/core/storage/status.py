"""`status.json`: where a long command stands, for whoever watches it from elsewhere."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pectl.core.storage.files import read_json, write_json
from pectl.core.storage.holder import is_mine, refuse_if_held, this_process
from pectl.errors import HeldError

HEARTBEAT_SECONDS = 10.0
State = Literal["running", "done", "interrupted", "failed"]


class StatusFile:
    """The heartbeat of one command; each write replaces the file as a whole, and none is made before the first step.

    `state` is running, done, interrupted or failed; `step` of `total` are done, at `rate` a second since this process
    began, and `eta_seconds` are left; `updated` and `started` are UTC. A `running` file that hasn't been updated for
    minutes belongs to a process that was killed, `pid` on `host`, which began `process_start` clock ticks after it.
    Each write looks whether another process has come to work here meanwhile (`holder.py`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fields: dict[str, Any] = {
            "state": "running",
            "step": None,
            "total": None,
            "rate": None,
            "eta_seconds": None,
        }
        self._fields |= this_process() | {"started": _now()}
        self._begun = time.monotonic()
        self._first: int | None = None
        self._written = -HEARTBEAT_SECONDS

    @property
    def done(self) -> int:
        """Return how many steps are done."""
        return self._fields["step"] or 0

    def claim(self) -> None:
        """Say in the folder that this process is at work in it.

        Raises:
            HeldError: another one is.
        """
        refuse_if_held(self.path)
        self._write()

    def update(self, step: int, total: int, **more: object) -> None:
        """Note where the command stands; written at most every 10 s.

        Raises:
            HeldError: another process is at work in the folder.
        """
        now = time.monotonic()
        if self._first is None:
            self._first, self._begun = step, now
        rate = (step - self._first) / (now - self._begun) if step > self._first else None
        left = None if rate is None else round((total - step) / rate)
        self._fields |= {"step": step, "total": total, "rate": rate and round(rate, 4), "eta_seconds": left} | more
        if now - self._written >= HEARTBEAT_SECONDS:
            self._written = now
            self.claim()

    def note(self, **more: object) -> None:
        """Add what is to be in the file from its next write on."""
        self._fields |= more

    def end(self, state: State, **more: object) -> None:
        """Write how the command ended, if it ever began and no other has taken its place."""
        if state != "done" and self._first is None:
            return
        try:
            refuse_if_held(self.path)
        except HeldError:
            return
        if state == "done":
            self._fields["step"] = self._fields["total"]
        self._fields |= more | {"state": state, "eta_seconds": None}
        self._write()

    def _write(self) -> None:
        known = {name: value for name, value in self._fields.items() if value is not None}
        write_json(self.path, known | {"updated": _now()})


def mark_failed(path: Path, error: BaseException) -> None:
    """Let the heartbeat that this process has begun say that it failed, and of what; another's is left alone."""
    fields = read_json(path, made_by="pectl") if path.exists() else {}
    if fields.get("state") == "running" and is_mine(fields):
        write_json(path, fields | {"state": "failed", "error": str(error), "updated": _now()})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
