"""The run folder of a training: config, metrics, status, events and checkpoints."""

import csv
import io
import logging
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from torch.utils.tensorboard import SummaryWriter

from pectl.config import Config, write_config
from pectl.core.labels.names import STUDY
from pectl.core.models.checkpoint import Model, save_model
from pectl.core.storage.estimate import Estimate, Expect, check_disk
from pectl.core.storage.files import atomic_path, read_json, system_fault, write_json, write_text
from pectl.core.storage.holder import refuse_if_held
from pectl.core.storage.stamp import Stamp, write_stamp
from pectl.core.storage.status import StatusFile
from pectl.core.stores.runs import FORMAT, VERSION, best_model
from pectl.errors import OutputExistsError, StoreError, TrainingError

Resume = bool | Literal["changed"]
"""Go on with the run that is there: not at all, with its own configuration, or though it has changed."""

_log = logging.getLogger(__name__)


class RunFolder:
    """A training run on disk. `checkpoints/last` is where it stands, `checkpoints/best` what it is used for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last = path / "checkpoints" / "last"
        self.best = best_model(path)
        self.status = StatusFile(path / "status.json")

    def begin(self, config: Config, identity: Mapping[str, str], splits: "pd.Series[str]", *, resume: Resume) -> None:
        """Claim the folder for a run, or find the run that is to be resumed.

        Args:
            config: written as `config.toml`.
            identity: digests of what the run is made from and of its configuration.
            splits: written as `splits.csv`, so that the model isn't measured on what it has seen.
            resume: go on from `checkpoints/last` if there is one; "changed" accepts another configuration.

        Raises:
            HeldError: another process trains this run.
            OutputExistsError: a run is there and `resume` wasn't asked for.
            TrainingError: the run there has another configuration or other data.
        """
        refuse_if_held(self.status.path)
        marker = self.path / "begun.json"
        if marker.exists():
            if not resume:
                raise OutputExistsError(
                    where=self.path,
                    expected="a new folder",
                    found="a run",
                    fix="add --resume to go on with it, or choose another --out",
                )
            old = read_json(marker, made_by="pectl train")
            self._check_same_data(old, identity)
            if old.get("config") == identity["config"]:
                return
            if resume != "changed":
                raise self._changed(config)
        self.path.mkdir(parents=True, exist_ok=True)
        write_config(config, self.path / "config.toml")
        write_text(self.path / "splits.csv", splits.rename_axis(STUDY).to_csv(lineterminator="\n"))
        write_json(marker, dict(identity))

    def announce(self, estimate: Estimate, expect: Expect) -> None:
        """Say what the training will need, in `status.json` too.

        Raises:
            StoreError: the disk can't hold a new run's checkpoints.
        """
        if not (self.last / "state.pt").exists():
            check_disk(estimate, self.path)
        self.status.note(estimate=estimate.status())
        self.status.claim()
        expect(estimate)

    def _check_same_data(self, old: dict[str, Any], new: Mapping[str, str]) -> None:
        changed = [name for name in new if name != "config" and old.get(name) != new[name]]
        if changed:
            raise TrainingError(
                where=self.path,
                expected="the run's own " + ", ".join(f"{n} {old.get(n)}" for n in changed),
                found=", ".join(new[n] for n in changed),
                fix="resume with the same data, or choose another --out",
            )

    def _changed(self, config: Config) -> TrainingError:
        before = _flat(tomllib.loads((self.path / "config.toml").read_text(encoding="utf-8")))
        now = _flat(config.model_dump(mode="json", exclude_none=True))
        keys = [key for key in before | now if before.get(key) != now.get(key)]
        return TrainingError(
            where=self.path,
            expected="the run's own " + ", ".join(f"{key} = {before.get(key)}" for key in keys),
            found=", ".join(f"{key} = {now.get(key)}" for key in keys),
            fix="resume with the same configuration, or accept the difference with --resume-changed, "
            "or choose another --out",
        )

    def save_state(self, model: Model, state: dict[str, Any]) -> None:
        """Write `checkpoints/last`; the state before is kept as `previous.pt`. `state.pt` holds the weights too."""
        save_model(model, self.last)
        path = self.last / "state.pt"
        with atomic_path(path) as temporary:
            torch.save(state | {"model": model.state_dict()}, temporary)
            if path.exists():
                path.replace(self.last / "previous.pt")

    def load_state(self) -> dict[str, Any] | None:
        """Read the training state of `checkpoints/last`, or None if there is none yet.

        A damaged state gives way to the one before, with a warning in the log.

        Raises:
            StoreError: every state there is damaged, or the system can't read one.
        """
        present = [path for path in (self.last / "state.pt", self.last / "previous.pt") if path.exists()]
        for path in present:
            try:
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:
                if fault := system_fault(error):  # an older state would be taken where this one is whole
                    raise StoreError(where=path, expected="a training state", found=fault[0], fix=fault[1]) from error
                _log.warning("%s is damaged (%s): looking for the checkpoint before it", path, type(error).__name__)
            else:
                return state
        if present:
            raise StoreError(
                where=present[0],
                expected="a training state",
                found="a damaged file, and no whole one before it",
                fix="start the run anew in another folder",
            )
        return None

    def write_metrics(self, rows: list[dict[str, float]]) -> None:
        """Write all epochs so far as `metrics.csv`."""
        text = io.StringIO()
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows({name: f"{value:.8g}" for name, value in row.items()} for row in rows)
        write_text(self.path / "metrics.csv", text.getvalue())

    def write_events(self, rows: list[dict[str, float]], started: float) -> None:
        """Add the newest epoch to the TensorBoard events."""
        with SummaryWriter(str(self.path / "events"), filename_suffix=f".{started:.0f}") as writer:
            for name, value in rows[-1].items():
                writer.add_scalar(name, value, int(rows[-1]["epoch"]))

    def finish(self, *, digest: str, made_from: dict[str, str], config_digest: str, **more: object) -> None:
        """Write `run.json`, which says that the run is done and what it is."""
        stamp = Stamp(format=FORMAT, version=VERSION, digest=digest, made_from=made_from, config_digest=config_digest)
        write_stamp(self.path / "run.json", stamp, **more)
        self.status.end("done", best=more.get("best"))


def _flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested sections as dotted keys with their values."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


class Clock:
    """Says when something that is to happen every so many seconds is due."""

    def __init__(self, every_seconds: float) -> None:
        self._every, self._last = every_seconds, time.monotonic()

    def due(self) -> bool:
        """Return whether the time has passed since the last time this was true."""
        if time.monotonic() - self._last < self._every:
            return False
        self._last = time.monotonic()
        return True
