"""What a command will need, from sizes alone: memory and disk. How long it takes is measured while it runs."""

import logging
import resource
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pectl.errors import StoreError

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
            where=out,
            expected=f"about {_size(estimate.disk)} of free disk",
            found=_size(free),
            fix="free space or choose another --out",
        )
    if free < estimate.disk:
        _log.warning("%s: about %s of disk needed, %s free", out, _size(estimate.disk), _size(free))


def held_bytes() -> int:
    """Return the bytes that this process has held at most so far: the program itself."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
