"""What a node has done, as numbers: for a program as JSON, for Prometheus as text (node_exporter's textfile format)."""

import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pectl.core.storage.files import write_json, write_text

COUNTERS = {
    "objects_received": "Objects that were answered Success and kept.",
    "bytes_received": "Bytes of these objects.",
    "objects_refused": "Objects that were answered with a failure: no space, or not understood.",
    "own_results_ignored": "Objects of pectl itself that came back.",
    "associations_refused": "Associations of other peers, or for want of space.",
    "studies_predicted": "Answers of the model, further versions too.",
    "studies_sent": "Answers that the receiver was seen to hold.",
    "studies_refused": "Studies that the model can't read.",
    "studies_failed": "Studies that couldn't be predicted or sent.",
    "sending_failures": "Attempts to send that failed.",
}
"""Since the process began."""
BOUNDS_SECONDS = (30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600)
"""Upper bounds of the histogram."""
LATENCY = "seconds from the newest object of a study to its answer seen at the receiver"


class Metrics:
    """Counters that any thread raises, and how long studies waited for their answers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counter[str]()
        self._buckets = Counter[int]()
        self._n_waited, self._waited, self._longest = 0, 0.0, 0.0

    def count(self, name: str, number: int = 1) -> None:
        """Raise a counter of `COUNTERS`."""
        with self._lock:
            self._counts[name] += number

    def answered(self, seconds: float) -> None:
        """Note how long a study waited for its answer."""
        with self._lock:
            self._n_waited += 1
            self._waited += seconds
            self._longest = max(self._longest, seconds)
            self._buckets.update(bound for bound in BOUNDS_SECONDS if seconds <= bound)

    def to_json(self, studies: Mapping[str, int]) -> dict[str, Any]:
        """Return plain values; `studies` says how many there are in each state now."""
        with self._lock:
            waited = {
                "n": self._n_waited,
                "mean": self._waited / self._n_waited if self._n_waited else None,
                "longest": self._longest if self._n_waited else None,
            }
            counts = {name: self._counts[name] for name in COUNTERS}
            return {"studies": dict(studies), "counts": counts, "seconds_to_answer": waited}

    def write(self, folder: Path, studies: Mapping[str, int]) -> None:
        """Write `metrics.json` and `metrics.prom`."""
        write_json(folder / "metrics.json", self.to_json(studies))
        write_text(folder / "metrics.prom", self.to_prometheus(studies))

    def to_prometheus(self, studies: Mapping[str, int]) -> str:
        """Return the text format of Prometheus, version 0.0.4."""
        lines = ["# HELP pectl_studies Studies in each state now.", "# TYPE pectl_studies gauge"]
        lines += [f'pectl_studies{{state="{state}"}} {number}' for state, number in studies.items()]
        with self._lock:
            for name, text in COUNTERS.items():
                metric = f"pectl_{name}_total"
                lines += [f"# HELP {metric} {text}", f"# TYPE {metric} counter", f"{metric} {self._counts[name]}"]
            metric = "pectl_seconds_to_answer"
            lines += [f"# HELP {metric} {LATENCY.capitalize()}.", f"# TYPE {metric} histogram"]
            lines += [f'{metric}_bucket{{le="{bound}"}} {self._buckets[bound]}' for bound in BOUNDS_SECONDS]
            lines += [f'{metric}_bucket{{le="+Inf"}} {self._n_waited}']
            lines += [f"{metric}_sum {self._waited:.3f}", f"{metric}_count {self._n_waited}"]
        return "\n".join(lines) + "\n"
