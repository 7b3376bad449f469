"""Gzip to its end, no further than its header promises: what is cut off or damaged is found."""

import gzip
import struct
from pathlib import Path

import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError
from numpy.typing import NDArray

from pectl.core.volumes.header import refused

_FAULTS = (EOFError, gzip.BadGzipFile, IsalError, struct.error)
_PART = 1 << 20  # bytes; a whole volume at once would be copied twice
_FIX = "fetch or export the file again"


def inflate(path: Path, n_bytes: int, *, offset: int = 0, before: int = 0) -> NDArray[np.uint8]:
    """Return plain bytes of a gzip stream, which ends with them.

    Args:
        path: the file.
        n_bytes: how many are wanted.
        offset: where in the file the stream begins.
        before: plain bytes to leave out.

    Raises:
        StudyRefusedError: the stream ends too early, is damaged, or holds more; its checksum differs.
        OSError: the file can't be read.
    """
    plain = np.empty(before + n_bytes, np.uint8)
    view, done = plain.data, 0
    with path.open("rb") as file:
        file.seek(offset)
        try:
            with igzip.open(file) as stream:
                while done < len(plain) and (count := stream.readinto(view[done : done + _PART])):
                    done += count
                more = stream.read(1)  # at the end of the stream its checksum is compared
        except _FAULTS as error:  # type: ignore[misc]  # the stub of isal calls its error an instance
            found = f"less: it breaks off or is damaged ({type(error).__name__})"
            raise refused("truncated_pixel_data", f"{len(plain)} bytes in the gzip stream", found, _FIX) from error
    if done < len(plain) or more:
        found = "more" if more else str(done)
        raise refused("truncated_pixel_data", f"{len(plain)} bytes in the gzip stream", found, _FIX)
    return plain[before:]


def read_plain(path: Path, n_bytes: int, *, offset: int) -> NDArray[np.uint8]:
    """Return bytes of a file as it is.

    Raises:
        StudyRefusedError: there are fewer.
        OSError: the file can't be read.
    """
    found = np.fromfile(path, np.uint8, n_bytes, offset=offset)
    if len(found) < n_bytes:
        raise refused("truncated_pixel_data", f"{n_bytes} bytes of voxels", str(len(found)), _FIX)
    return found
