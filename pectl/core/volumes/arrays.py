"""NumPy arrays, `.npy` or `.npz` with one array in it: they have neither spacing nor orientation, and no pickles."""

import zipfile
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pectl.core.volumes.header import VolumeHeader, check_shape, refused

_ZIP = b"PK"
_FAULTS = (ValueError, EOFError, KeyError, zipfile.BadZipFile)


def describe(path: Path) -> VolumeHeader:
    """Read the shape and type of the array."""
    with path.open("rb") as file:
        if file.read(2) != _ZIP:
            file.seek(0)
            return _header(file)
    with zipfile.ZipFile(path) as archive, archive.open(_only(archive)) as member:
        return _header(cast("BinaryIO", member))


def load(path: Path) -> NDArray[np.generic]:
    """Read the array, (slices, rows, columns)."""
    describe(path)
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            values: NDArray[np.generic] = found if isinstance(found, np.ndarray) else found[found.files[0]]
    except _FAULTS as error:
        reason = f"an end before that, or damage ({type(error).__name__})"
        raise refused("truncated_pixel_data", "the whole array", reason, "fetch or export it again") from error
    return values.reshape(values.shape[-3:])


def _only(archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    if len(names) != 1:
        raise refused("not_3d", "one array in the file", str(len(names)), "save the CT by itself")
    return names[0]


def _header(file: BinaryIO) -> VolumeHeader:
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
    shape, _, dtype = read(file)
    return VolumeHeader(check_shape(shape, dtype), None, oriented=False)
