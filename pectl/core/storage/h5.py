"""HDF5 files that name themselves in errors, and never reach outside themselves."""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
from h5py import h5d, h5g, h5l, h5o, h5t

from pectl.core.storage.files import atomic_path, system_fault
from pectl.errors import StoreError

VOXEL_FILTER: Mapping[str, Any] = {
    **hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.SHUFFLE),
    "fletcher32": True,
}
"""Compression of image data: about half the bytes at a few thousand windows a second. Blosc2 with the same settings
makes files of the same size and takes four times as long to write them (hdf5plugin 7.1). Neither finds a flipped bit:
of 300 in a chunk, nine in ten were read as other voxels without an error; with the checksum all are found."""
LAYOUT = ("v110", "v110")
"""Lowest and highest HDF5 whose layout is written: any from 1.10 on reads it, whichever wrote it. The newest layout,
of h5py's "latest", is read by none but the newest HDF5."""


@contextmanager
def create_h5(path: Path) -> Iterator[h5py.File]:
    """Create an HDF5 file that appears under its name only when the block ends without an error.

    It is made in memory and written in one go: the library crashes the process where a disk fills up under it.

    Raises:
        StoreError: the disk is full or the folder can't be written; nothing is left behind.
    """
    content = io.BytesIO()
    with h5py.File(content, "w", libver=LAYOUT) as file:
        yield file
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


@contextmanager
def read_h5(path: Path, *, made_by: str) -> Iterator[h5py.File]:
    """Open an HDF5 file for the block that reads it.

    Raises:
        StoreError: as `open_h5`, or a part of the file is missing or can't be read.
    """
    with open_h5(path, made_by=made_by) as file:
        try:
            yield file
        except (KeyError, OSError, ValueError) as error:
            raise damaged(path, error, made_by=made_by) from error


def open_h5(path: Path, *, made_by: str, known: bool = False) -> h5py.File:
    """Open an HDF5 file for reading, without locks: a finished file never changes, and NFS and Lustre may have none.

    Args:
        path: the file.
        made_by: the command that makes such files.
        known: this process has had it open before, so what it links to isn't looked at again.

    Raises:
        StoreError: no such file, not HDF5, truncated, of a newer HDF5, not to be had from the file system, or it links
            to data outside itself.
    """
    file = None
    try:
        file = h5py.File(path, "r", locking=False)
        outside = [] if known else _outside_data(file)
    except (KeyError, OSError, ValueError) as error:
        if file:
            file.close()
        raise damaged(path, error, made_by=made_by) from error
    if outside:
        file.close()
        raise StoreError(
            where=path,
            expected="data inside the file",
            found=f"links to elsewhere: {', '.join(outside)}",
            fix="don't use this file unless you know who made it",
        )
    return file


def damaged(path: Path, error: Exception, *, made_by: str) -> StoreError:
    """Return what to raise where an HDF5 file can't be read; only one that is damaged is to be deleted.

    Args:
        path: the file.
        error: of h5py.
        made_by: the command that makes such files.
    """
    found, fix = system_fault(error) or _fault_of_file(path, error, made_by)
    return StoreError(where=path, expected="a whole HDF5 file", found=found, fix=fix)


def _fault_of_file(path: Path, error: Exception, made_by: str) -> tuple[str, str]:
    again = f"run {made_by} again; only what is missing is done anew"
    if not path.exists():
        return "no such file", again
    if re.search(r"bad .*version number", str(error)):
        mine = f"HDF5 {h5py.version.hdf5_version} of h5py {h5py.__version__}"
        fix = f"pip install --upgrade h5py; only if the newest can't read it either, delete it and {again}"
        return f"a layout that {mine} doesn't know ({error})", fix
    return f"a damaged one ({error})", f"delete it and {again}"


def _outside_data(file: h5py.File) -> list[str]:
    """Name links, external storage and virtual data: a store of unknown origin must not read other files."""
    outside: list[str] = []

    def check(group: h5g.GroupID) -> None:
        for name in group:
            link, item = group.links.get_info(name), None
            if link.type == h5l.TYPE_HARD:
                item = h5o.open(group, name)
            if isinstance(item, h5g.GroupID):
                check(item)
            elif item is None or _reads_elsewhere(item):
                outside.append(name.decode(errors="replace"))

    check(file.id)  # h5py's own groups and datasets take three times as long
    return outside


def _reads_elsewhere(item: h5d.DatasetID | h5t.TypeID) -> bool:
    if not isinstance(item, h5d.DatasetID):
        return False
    created = item.get_create_plist()
    return bool(created.get_external_count() or created.get_layout() == h5d.VIRTUAL)
