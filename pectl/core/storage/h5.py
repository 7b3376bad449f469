"""HDF5 files that name themselves in errors, and never reach outside themselves."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import hdf5plugin

from pectl.core.storage.files import atomic_path
from pectl.errors import StoreError

VOXEL_FILTER = hdf5plugin.Blosc2(cname="lz4", clevel=5, filters=hdf5plugin.Blosc2.SHUFFLE)
"""Compression of image data: about half the bytes at a few thousand windows a second."""


@contextmanager
def create_h5(path: Path) -> Iterator[h5py.File]:
    """Create an HDF5 file that appears under its name only when the block ends without an error.

    It is made in memory and written in one go: the library crashes the process where a disk fills up under it.

    Raises:
        StoreError: the disk is full or the folder can't be written; nothing is left behind.
    """
    content = io.BytesIO()
    with h5py.File(content, "w", libver="latest") as file:
        yield file
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def open_h5(path: Path, *, made_by: str) -> h5py.File:
    """Open an HDF5 file for reading.

    Raises:
        StoreError: no such file, not HDF5, truncated, or it links to data outside itself.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise StoreError(
            where=path,
            expected="a whole HDF5 file",
            found=_reason(path, error),
            fix=f"delete it and run {made_by} again; only what is missing is done anew",
        ) from error
    _refuse_outside_data(file, path)
    return file


def _reason(path: Path, error: OSError) -> str:
    return "no such file" if not path.exists() else f"a damaged one ({error})"


def _refuse_outside_data(file: h5py.File, path: Path) -> None:
    """Refuse external links and external storage: a store of unknown origin must not read other files."""
    outside: list[str] = []

    def check(group: h5py.Group) -> None:
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                outside.append(name)
            elif isinstance(item := group[name], h5py.Group):
                check(item)
            elif item.external:
                outside.append(name)

    check(file)
    if outside:
        file.close()
        raise StoreError(
            where=path,
            expected="data inside the file",
            found=f"links to elsewhere: {', '.join(outside)}",
            fix="don't use this file unless you know who made it",
        )
