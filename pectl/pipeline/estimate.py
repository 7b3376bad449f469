"""What a command will need, from sizes alone: memory and disk. How long it takes is measured while it runs."""

import logging
import resource
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pectl.config import Config
from pectl.errors import StoreError

STORED_BYTES = 1.0
"""Bytes of a stored voxel: int16, compressed to about half."""
STUDY_COPIES = 8
"""While it is preprocessed, a study is held so many times over as int16: float copies, masks, the result."""
WORKER_BYTES = 250_000_000
"""Of a worker process before it has read anything."""
STUDY_FILE_BYTES = 40_000
"""Of a study's file in a study store, beside its voxels."""
REFUSED_SHARE = 0.5
"""With less than this share of the estimate free a command refuses to begin; up to the estimate it warns."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a command needs, in bytes.

    Attributes:
        memory: main memory of all its processes at their peak.
        gpu_memory: of the network, its batch and its optimizer, where these are on a GPU.
        disk: what it will have written, and holds at most meanwhile.
    """

    memory: int
    gpu_memory: int = 0
    disk: int

    def __str__(self) -> str:
        gpu = f", {_size(self.gpu_memory)} of GPU memory" if self.gpu_memory else ""
        return f"{_size(self.memory)} of memory{gpu}, {_size(self.disk)} of disk"

    def status(self) -> dict[str, int]:
        """Return what `status.json` says of it."""
        return {f"{name}_bytes": value for name, value in asdict(self).items()}


Expect = Callable[[Estimate], None]
"""Called with the estimate before the work begins."""


def check_disk(estimate: Estimate, out: Path) -> None:
    """Refuse to begin what the disk certainly can't hold, and warn where it might not.

    Raises:
        StoreError: less than half of the estimate is free.
    """
    place = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < REFUSED_SHARE * estimate.disk:
        raise StoreError(
            where=out, expected=f"about {_size(estimate.disk)} of free disk", found=_size(free),
            fix="free space or choose another --out",
        )  # fmt: skip
    if free < estimate.disk:
        _log.warning("%s: about %s of disk needed, %s free", out, _size(estimate.disk), _size(free))


def estimate_preprocess(config: Config, images: list[tuple[int, float]], studies: int, workers: int) -> Estimate:
    """Estimate the preprocessing of studies.

    Args:
        config: the experiment.
        images: of some of the studies, the bytes of their images as int16 and the height they cover in mm.
        studies: number of studies in all.
        workers: processes.
    """
    slices = sum(height for _, height in images) / config.preprocess.slice_spacing_mm
    voxels = slices * config.preprocess.in_plane_px**2 * studies / max(len(images), 1)
    largest = sorted((size for size, _ in images), reverse=True)[:workers]
    others = (workers + 1) * WORKER_BYTES if workers > 1 else 0  # and the one they are copied from
    return Estimate(
        memory=held_bytes() + others + STUDY_COPIES * sum(largest),
        disk=round(voxels * STORED_BYTES) + studies * STUDY_FILE_BYTES,
    )


def held_bytes() -> int:
    """Return the bytes that this process has held at most so far: the program itself."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
