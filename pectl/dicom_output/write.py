"""The DICOM objects of a result, in a folder of its study: whole or not at all, the same result the same files."""

import re
import shutil
from collections.abc import Sequence, Set
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from pectl.core.dicom.tags import quiet_pydicom
from pectl.core.storage.files import atomic_folder, settle_folder
from pectl.dicom_output.made_by import object_uid, series_uid
from pectl.dicom_output.original import OriginalSeries, read_original
from pectl.dicom_output.result import HEATED, Kind, StudyResult
from pectl.errors import DicomOutputError, OutputExistsError, PectlError, StoreError

if TYPE_CHECKING:
    from pectl.dicom_output.objects import Planned, Skipped

_OURS = re.compile(rf"({'|'.join(Kind)})(?:-(\d+))?\.dcm")


class Written(NamedTuple):
    """The files of the kinds that were asked for, in their order, and the kinds that couldn't be written."""

    files: tuple[Path, ...]
    skipped: "tuple[Skipped, ...]"


def check_extra() -> None:
    """Check that what writes DICOM objects is installed.

    Raises:
        DicomOutputError: it isn't.
    """
    if find_spec("highdicom") is None:
        raise DicomOutputError(
            where="DICOM output",
            expected="the package highdicom",
            found="not installed",
            fix="pip install 'pectl[dicom]'",
        )


def write_dicom(result: StudyResult, source: Sequence[Path], out: Path, kinds: Sequence[Kind]) -> Written:
    """Write objects of a result into `out/<StudyInstanceUID>/`.

    Files of the same result that are there already stay as they are. Those of a different one are replaced, and the new
    report names the old one as its predecessor.

    Args:
        result: of one study.
        source: the files of the series that was judged, one slice each. Whose study it is, is read from them.
        out: holds a folder for each study.
        kinds: what to write.

    Raises:
        DicomOutputError: the extra isn't installed, result and series don't fit each other, or an object of this
            series can't be made.
        OutputExistsError: the folder holds files that pectl didn't write.
        StoreError: the folder can't be written, or a file in it is damaged.
        StudyRefusedError: pixels of a key image can't be read.
    """
    check_extra()
    from pectl.dicom_output.objects import planned, why_not

    original = read_original(source, result)
    folder = out / result.study_uid
    held = _held(folder)
    kept = {name for name, header in held.items() if _is_of(result, name, header)}
    predecessor = None if f"{Kind.SR}.dcm" in kept else held.get(f"{Kind.SR}.dcm")
    skipped = tuple(reason for kind in kinds if (reason := why_not(result, original, kind)))
    able = [kind for kind in kinds if kind not in {reason.kind for reason in skipped}]
    wanted = list(planned(result, original, able, predecessor))
    if kept != held.keys() or not kept >= {item.name for item in wanted}:
        _replace(folder, kept, wanted, original)
    return Written(tuple(folder / item.name for item in wanted), skipped)


def _held(folder: Path) -> dict[str, Dataset]:
    """Return what identifies the objects that are there, by file name."""
    settle_folder(folder)
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in paths:
        if not _OURS.fullmatch(path.name):
            raise OutputExistsError(
                where=folder,
                expected="objects that pectl wrote, or no folder",
                found="other files",
                fix="choose another folder for the output",
            )
    return {path.name: _identity(path) for path in paths}


def _identity(path: Path) -> Dataset:
    wanted = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
    try:
        with quiet_pydicom():
            return pydicom.dcmread(path, specific_tags=list(wanted), stop_before_pixels=True)
    except InvalidDicomError as error:
        raise StoreError(
            where=path, expected="an object that pectl wrote", found="no DICOM file", fix="take it away, run again"
        ) from error


def _is_of(result: StudyResult, name: str, header: Dataset) -> bool:
    """Tell whether an object is one that a result leads to; if the result holds no heat, whatever heat it shows."""
    match = _OURS.fullmatch(name)
    if match is None:
        return False
    kind, number = Kind(match[1]), int(match[2] or 1)
    if kind in HEATED and not result.heat:
        return bool(header.SeriesInstanceUID == series_uid(result, kind))
    return bool(header.SOPInstanceUID == object_uid(result, kind, number))


def _replace(folder: Path, kept: Set[str], wanted: "Sequence[Planned]", original: OriginalSeries) -> None:
    """Put a folder with the kept files and the wanted objects in the place of the old one."""
    with atomic_folder(folder) as temporary:
        for name in kept:
            shutil.copy2(folder / name, temporary / name)
        for item in wanted:
            if item.name not in kept:
                _save(item, original, temporary / item.name)


def _save(item: "Planned", original: OriginalSeries, path: Path) -> None:
    """Make an object and write it.

    highdicom and pydicom refuse values of a source in their own ways, and may quote them, so their words stay here.
    """
    try:
        dataset = item.make()
        original.stamp(dataset)
        with quiet_pydicom():
            dataset.save_as(path, enforce_file_format=True)
    except PectlError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DicomOutputError(
            where=path.name,
            expected="a series that highdicom can refer to",
            found=f"one that it can't: {type(error).__name__}",
            fix="leave this kind out of --dicom, and report it with the scanner's model",
        ) from error
