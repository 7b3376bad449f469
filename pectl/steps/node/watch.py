"""What a node shows of itself: a heartbeat, numbers, and the worklist."""

import time
from datetime import UTC, datetime
from pathlib import Path

from pectl.core.storage.status import StatusFile
from pectl.pacs.metrics import Metrics
from pectl.pacs.spool import State
from pectl.steps.node.desk import Desk
from pectl.steps.predicted.worklist import Worklist

LOOK_SECONDS = 2.0
"""Between two looks; what has changed is written."""
RENEW_SECONDS = 30.0
"""Without a change the numbers are written this often, so that whoever reads them sees that the node lives."""
_TITLES = {
    State.RECEIVED: "arriving",
    State.COMPLETE: "to be predicted",
    State.PREDICTED: "to be sent",
    State.SENT: "sent",
    State.FAILED: "failed",
}


class Watch:
    """Writes `status.json`, `metrics.json`, `metrics.prom`, `worklist.csv` and `worklist.html`."""

    def __init__(self, out: Path, desk: Desk, metrics: Metrics, status: StatusFile) -> None:
        self._out, self._desk, self._metrics, self._status = out, desk, metrics, status
        self._worklist = Worklist(desk.folder)
        self._looked = self._written = 0.0
        self._shown: dict[str, object] = {}

    def look(self, *, last: bool = False) -> None:
        """Write what has changed, if it is time; `last` writes in any case."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS and not last:
            return
        self._looked = now
        studies = {state.value: len(self._desk.spool.studies(state)) for state in State}
        found = self._metrics.to_json(studies)
        self._heartbeat(studies)
        if last or found != self._shown or now - self._written >= RENEW_SECONDS:
            self._shown, self._written = found, now
            self._metrics.write(self._out, studies)
            self._worklist.write_live(self._desk.model, self._notes(studies))

    def _heartbeat(self, studies: dict[str, int]) -> None:
        done = sum(studies[state] for state in (State.SENT, State.REFUSED, State.FAILED))
        self._status.update(done, sum(studies.values()), studies=studies)

    def _notes(self, studies: dict[str, int]) -> list[str]:
        counts = [f"{studies[state]} {title}" for state, title in _TITLES.items()]
        return [*counts, f"as of {datetime.now(UTC).strftime('%Y-%m-%d %H:%M:%S')} UTC"]
