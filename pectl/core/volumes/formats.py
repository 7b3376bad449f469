"""Which files are volumes, by the end of their names, and what reads each; a new format is a row of `FORMATS`."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pectl.core.storage.apple_double import is_apple_double
from pectl.core.volumes.header import VolumeHeader, refused
from pectl.errors import InputMissingError, StudyRefusedError

Found = TypeVar("Found")


class Reader(Protocol):
    """A module here that reads one format."""

    def describe(self, path: Path) -> VolumeHeader:
        """Read the header."""

    def load(self, path: Path) -> NDArray[np.generic]:
        """Read the voxels as they are stored, in the shape that `describe` says."""


class Format(NamedTuple):
    """A kind of file: its reader, imported when it is needed, and the packages that this needs."""

    name: str
    reader: Callable[[], Reader]
    needs: tuple[str, ...] = ()


def _nifti() -> Reader:
    from pectl.core.volumes import nifti

    return nifti


def _nrrd() -> Reader:
    from pectl.core.volumes import nrrd_file

    return nrrd_file


def _metaimage() -> Reader:
    from pectl.core.volumes import metaimage

    return metaimage


def _array() -> Reader:
    from pectl.core.volumes import arrays

    return arrays


_NIFTI = Format("NIfTI", _nifti, ("nibabel", "isal"))
_NRRD = Format("NRRD", _nrrd, ("nrrd", "isal"))
_METAIMAGE = Format("MetaImage", _metaimage, ("SimpleITK",))
_ARRAY = Format("NumPy", _array)
FORMATS: dict[str, Format] = {
    ".nii": _NIFTI,
    ".nii.gz": _NIFTI,
    ".nrrd": _NRRD,
    ".nhdr": _NRRD,
    ".mha": _METAIMAGE,
    ".mhd": _METAIMAGE,
    ".npy": _ARRAY,
    ".npz": _ARRAY,
}
WITHOUT_SPACING = tuple(suffix for suffix, form in FORMATS.items() if form == _ARRAY)
"""Files that never have a spacing."""


def suffix_of(path: Path) -> str:
    """Return the end of a volume file's name as `FORMATS` has it; empty for any other file, and what macOS leaves."""
    if is_apple_double(path):
        return ""
    name = path.name.lower()
    return next((suffix for suffix in FORMATS if name.endswith(suffix)), "")


def check_readable(suffix: str) -> None:
    """Check that what reads such a file is installed.

    Raises:
        InputMissingError: it isn't.
    """
    if missing := [package for package in FORMATS[suffix].needs if find_spec(package) is None]:
        raise InputMissingError(
            where=f"{FORMATS[suffix].name} files ({suffix})",
            expected=f"the package{'s' if len(missing) > 1 else ''} {' and '.join(missing)}",
            found="not installed",
            fix="pip install 'pectl[volumes]'",
        )


def describe(path: Path) -> VolumeHeader:
    """Read the header of a volume file.

    Raises:
        StudyRefusedError: it is damaged, or what the file holds can't be a CT volume.
        OSError: the file can't be read.
    """
    return _guarded(path, lambda reader: reader.describe(path))


def load(path: Path) -> NDArray[np.generic]:
    """Read the voxels of a volume file as they are stored, in the shape that `describe` says.

    Raises:
        StudyRefusedError: they are cut off or damaged.
        OSError: the file can't be read.
    """
    return _guarded(path, lambda reader: reader.load(path))


def _guarded(path: Path, read: Callable[[Reader], Found]) -> Found:
    """Call a reader; whatever a library throws at a damaged file is one error, without its text."""
    with path.open("rb") as file:
        file.read(1)
    form = FORMATS[suffix_of(path)]
    try:
        return read(form.reader())
    except StudyRefusedError:
        raise
    except Exception as error:
        found = f"{type(error).__name__} in the reader"
        raise refused("damaged_volume", f"a whole {form.name} file", found, "fetch or export it again") from error
