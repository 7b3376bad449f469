"""HDF5 files: which layout they are written in, and what is said where one can't be read."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from pectl.core.storage import h5
from pectl.core.storage.h5 import VOXEL_FILTER, create_h5, damaged, open_h5, read_h5
from pectl.errors import StoreError

LAYOUT_MESSAGE = 8
"""Type of the message of an object's header that says how its data lie (HDF5 File Format Specification, IV.A.2.i)."""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5"
    with create_h5(path) as file:
        voxels = np.arange(8 * 16 * 16, dtype=np.int16).reshape(8, 16, 16)
        file.create_dataset("hu", data=voxels, chunks=(1, 16, 16), **VOXEL_FILTER)
        file["position"] = np.arange(8.0)
        file.create_group("source")["label"] = np.arange(3)
    return path


def layout_version(path: Path, name: str) -> int:
    """Return the version of the layout message of a data set, read from the bytes of its object header."""
    with h5py.File(path) as file:
        address = h5py.h5o.get_info(file[name].id).addr
    header = path.read_bytes()[address:]
    assert header[:4] == b"OHDR"
    flags = header[5]
    size_bytes = 1 << (flags & 3)
    at = 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
    end = at + size_bytes + int.from_bytes(header[at : at + size_bytes], "little")
    at += size_bytes
    while at < end:
        kind, size = header[at], int.from_bytes(header[at + 1 : at + 3], "little")
        at += 4 + 2 * bool(flags & 0x04)
        if kind == LAYOUT_MESSAGE:
            return header[at]
        at += size
    raise AssertionError("no layout message")


@pytest.mark.parametrize("name", ["hu", "position", "source/label"])
def test_the_layout_is_one_that_hdf5_knows_from_1_10_on(written: Path, name: str) -> None:
    assert written.read_bytes()[8] <= 3, "version of the superblock"
    assert layout_version(written, name) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("old", [("h5py==3.11.*", "hdf5plugin==5.0.*"), ("h5py==3.14.*", "hdf5plugin==5.0.*")])
def test_an_older_h5py_reads_what_this_one_writes(written: Path, tmp_path: Path, old: tuple[str, str]) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "old"], check=True)
    python = tmp_path / "old" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *old], check=True)
    code = (
        "import sys, h5py, hdf5plugin; f = h5py.File(sys.argv[1]); print(f['hu'][:].sum(), h5py.version.hdf5_version)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, "-c", code, written], env=environment, capture_output=True, text=True, check=True)
    total, version = done.stdout.split()
    assert int(total) == sum(range(8 * 16 * 16))
    assert version.startswith("1.14")


def test_a_file_of_a_newer_hdf5_is_not_to_be_deleted(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: h5py.File) -> list[str]:
        raise KeyError("Unable to synchronously open object (bad version number for layout message)")

    monkeypatch.setattr(h5, "_outside_data", refuse)
    with pytest.raises(StoreError, match=r"a\.h5: expected a whole HDF5 file, found a layout that HDF5 .* pip install"):
        open_h5(written, made_by="pectl x")


def test_reading_takes_no_lock(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    with written.open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with read_h5(written, made_by="pectl x") as file:
            assert file["position"][-1] == 7


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOLCK, "No locks available; the file may be whole, so keep it: set HDF5_USE_FILE_LOCKING=FALSE"),
        (errno.EACCES, "Permission denied; check who may read and write it and its folder"),
        (errno.EMFILE, "Too many open files; allow more open files .* or use fewer --workers"),
        (errno.EIO, "Input/output error; the file may be whole, so keep it: check the disk or the file server"),
        (errno.ESTALE, "Stale file handle; the file may be whole, so keep it: run the command again; if that fails"),
        (errno.ENOSPC, "No space left on device; free space or choose another folder"),
    ],
)
@pytest.mark.parametrize("coded", [True, False])
def test_faults_of_the_system_are_told_from_damage(written: Path, number: int, said: str, coded: bool) -> None:
    text = f"Unable to synchronously open file (errno = {number}, error message = '{os.strerror(number)}')"
    error = OSError(number, text) if coded else KeyError(text)
    said_of_it = str(damaged(written, error, made_by="pectl x"))
    assert said_of_it.startswith(f"{written}: expected a whole HDF5 file, found {said.partition(';')[0]}; ")
    with pytest.raises(StoreError, match=said):
        raise damaged(written, error, made_by="pectl x")
    assert "delete" not in said_of_it


def test_without_free_file_handles_a_file_is_not_called_damaged(written: Path) -> None:
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom pectl.core.storage.h5 import open_h5\n"
        "from pectl.errors import StoreError\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "try:\n    open_h5(Path(sys.argv[1]), made_by='pectl x')\n"
        "except StoreError as error:\n    sys.stdout.write(str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, written], capture_output=True, text=True, check=False)
    assert "found Too many open files; allow more open files (ulimit -n 4096)" in done.stdout, done.stderr


def test_what_a_block_finds_missing_is_damage(written: Path) -> None:
    with (
        pytest.raises(StoreError, match=r"found a damaged one \(.*nothing.*\); delete it and run pectl x again"),
        read_h5(written, made_by="pectl x") as file,
    ):
        file["nothing"]
