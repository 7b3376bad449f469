"""The fingerprints of the studies of a store, taken in several processes and kept for the next run."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from pectl.core.storage.files import read_json, write_json
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.core.storage.workers import run_in_processes
from pectl.core.stores.fingerprint import fingerprint_file
from pectl.errors import StoreError

Progress = Callable[[int, int], None]


def store_fingerprints(
    files: list[Path], kept: Path, *, workers: int, progress: Progress = lambda done, total: None
) -> dict[str, str]:
    """Return the fingerprint of each study by its file's stem; of a damaged file there is none.

    Args:
        files: of studies.
        kept: JSON of an earlier run; those of files that haven't changed since are taken from it.
        workers: processes.
        progress: called with (studies done, studies).
    """
    marks = {path.stem: _mark(path) for path in files}
    known = _known(kept)
    found = {uid: str(one["bits"]) for uid, one in known.items() if one["file"] == marks.get(uid)}
    todo = [path for path in files if path.stem not in found]
    with closing(run_in_processes(_take, todo, workers=workers, preload=_take.__module__)) as done:
        for uid, bits in done:
            found[uid] = bits
            progress(len(found), len(files))
    studies = {uid: {"file": marks[uid], "bits": found[uid]} for uid in sorted(found)}
    write_json(kept, {"use": RESEARCH_USE, "studies": studies})
    return {uid: bits for uid, bits in found.items() if bits}


def _take(path: Path) -> tuple[str, str]:
    try:
        return path.stem, fingerprint_file(path)
    except StoreError:
        return path.stem, ""  # the prediction says so


def _mark(path: Path) -> list[int]:
    there = path.stat()
    return [there.st_size, there.st_mtime_ns]


def _known(kept: Path) -> dict[str, dict[str, object]]:
    if not kept.exists():
        return {}
    try:
        return dict(read_json(kept, made_by="pectl validate-external")["studies"])
    except (StoreError, KeyError, TypeError, ValueError):
        return {}  # it is only a memory
