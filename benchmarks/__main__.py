"""Measure the rows of the speed table that need no GPU, and print them as a Markdown table."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.evaluation import evaluation_rows
from benchmarks.explaining import explain_rows
from benchmarks.growth import growth_rows
from benchmarks.header_index import header_index_rows
from benchmarks.intake import intake_rows
from benchmarks.phantoms import phantom_rows
from benchmarks.predicting import predict_rows
from benchmarks.sharing import sharing_rows
from benchmarks.timing import Row, shortest
from benchmarks.volumes import volume_rows
from pectl.core.batches.windows import WindowReader
from pectl.core.stores.study_store import StudyStore


def main() -> None:
    """Run all and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        rows = intake_rows(Path(folder))
        rows += volume_rows(Path(folder))
        rows.append(_random_windows(Path(folder) / "store"))
        rows += growth_rows(Path(folder) / "growth")
        rows += header_index_rows(Path(folder) / "headers")
        rows += evaluation_rows(Path(folder))
        rows += explain_rows(Path(folder))
        rows += predict_rows(Path(folder))
        rows += phantom_rows(Path(folder))
    rows += sharing_rows()
    rows.append(_help())
    print("| path | pectl | baseline | ratio |\n|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def _help() -> Row:
    command = [sys.executable, "-m", "pectl", "--help"]
    python = shortest(lambda: subprocess.run([sys.executable, "-c", ""], check=True))
    seconds = shortest(lambda: subprocess.run(command, check=True, capture_output=True))
    return ("pectl --help", f"{seconds:.2f} s", f"python itself {python:.2f} s", f"{seconds / python:.1f}")


def _random_windows(path: Path) -> Row:
    store = StudyStore.open(path)
    uid = store.uids()[0]
    depth = int(store.studies.loc[uid, "n_slices"])
    reader = WindowReader(store.study_path, length=10)
    starts = np.random.default_rng(0).integers(0, depth - 10, 512)
    batches = starts.reshape(-1, 16).tolist()
    seconds = shortest(lambda: [reader.read([uid] * 16, batch) for batch in batches])
    return ("random windows 10x224x224, one process", f"{512 / seconds:.0f}/s", "", "")


if __name__ == "__main__":
    main()
