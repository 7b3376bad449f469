"""A volume as NIfTI-1, the format that 3-D Slicer and ITK-SNAP open beside the CT."""

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pectl.core.storage.files import atomic_path

_HEADER_BYTES, _DATA_OFFSET = 348, 352
_FLOAT32 = 16
_UNITS_MM = 2
_SCANNER_FRAME = 1
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_FASTEST_FIRST = [2, 1, 0, 3]


def write_nifti(path: Path, volume: NDArray[np.float32], affine: NDArray[np.float64], note: str) -> None:
    """Write `.nii.gz` (NIfTI-1, data type float32, sform in scanner coordinates).

    Args:
        path: of the file.
        volume: (D, H, W).
        affine: (4, 4) from (d, h, w, 1) to LPS mm; NIfTI wants the fastest axis, w, first and RAS.
        note: up to 79 ASCII characters for the header's description.
    """
    ras = (_LPS_TO_RAS @ affine)[:, _FASTEST_FIRST]
    steps = np.linalg.norm(ras[:3, :3], axis=0)
    header = bytearray(_DATA_OFFSET)
    struct.pack_into("<i", header, 0, _HEADER_BYTES)
    struct.pack_into("<8h", header, 40, 3, *volume.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, _FLOAT32, 32)
    struct.pack_into("<8f", header, 76, 1.0, *steps, 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, _DATA_OFFSET, 1.0, 0.0)
    struct.pack_into("<B", header, 123, _UNITS_MM)
    struct.pack_into("<80s", header, 148, note.encode("ascii")[:79])
    struct.pack_into("<2h", header, 252, 0, _SCANNER_FRAME)
    struct.pack_into("<12f", header, 280, *ras[:3].ravel())
    struct.pack_into("<4s", header, 344, b"n+1")
    data = bytes(header) + np.ascontiguousarray(volume, "<f4").tobytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(data, compresslevel=4, mtime=0))
