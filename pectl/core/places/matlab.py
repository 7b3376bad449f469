"""Masks in MATLAB files: the variable `Mask`, (row, column, slice), in the old format or in that of 7.3."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pectl.core.places.refusal import refused
from pectl.errors import StudyRefusedError

_VARIABLE = "Mask"
_HDF5 = b"MATLAB 7.3"
_NUMBERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "single", "double", "logical")


def read_matlab(path: Path, shape: tuple[int, int, int]) -> NDArray[np.generic]:
    """Read a mask of this shape, (n, rows, columns), n slices as the file has them.

    Raises:
        StudyRefusedError: the file is damaged, lacks the variable, or holds one of another shape.
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        is_hdf5 = file.read(len(_HDF5)) == _HDF5
    try:
        return (_read_hdf5 if is_hdf5 else _read_old)(path, shape)
    except StudyRefusedError:
        raise
    except Exception as error:  # whatever a library throws at a damaged file
        found = f"{type(error).__name__} in the reader"
        raise refused("places_unreadable", "a whole MATLAB file", found) from error


def _read_old(path: Path, shape: tuple[int, int, int]) -> NDArray[np.generic]:
    from scipy.io import loadmat, whosmat

    found = {name: (size, kind) for name, size, kind in whosmat(str(path))}
    size, kind = found.get(_VARIABLE, ((), ""))
    _check(tuple(size), shape, is_number=kind in _NUMBERS, variables=list(found))
    mask = loadmat(str(path), variable_names=[_VARIABLE])[_VARIABLE]
    return np.moveaxis(np.asarray(mask), 2, 0)


def _read_hdf5(path: Path, shape: tuple[int, int, int]) -> NDArray[np.generic]:
    """MATLAB counts the first axis fastest, HDF5 the last: the axes of the array are (slice, column, row)."""
    import h5py

    with h5py.File(path, "r") as file:
        mask = file.get(_VARIABLE)
        size = mask.shape[::-1] if isinstance(mask, h5py.Dataset) else ()
        _check(size, shape, is_number=bool(size) and mask.dtype.kind in "iufb", variables=list(file))
        return np.moveaxis(np.asarray(mask[...]), 1, 2)


def _check(size: tuple[int, ...], shape: tuple[int, int, int], *, is_number: bool, variables: list[str]) -> None:
    if not is_number:
        raise refused("places_unreadable", f"numbers in the variable {_VARIABLE}", f"{len(variables)} other variables")
    if (size[-1], *size[:-1]) != shape:
        sizes = [" x ".join(map(str, one)) for one in ((*shape[1:], shape[0]), size)]
        raise refused("places_mismatch", f"{sizes[0]} rows, columns and files of the series", sizes[1])
