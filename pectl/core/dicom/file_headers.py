"""The headers in one file, whatever it is: an image, frames, an archive of images, or none."""

from pathlib import Path

from pectl.core.dicom.archives import is_archive, read_members
from pectl.core.dicom.frames import expand_frames
from pectl.core.dicom.header_cache import HeaderCache, Known
from pectl.core.dicom.headers import Row, SliceHeader, header_of, pack_header, read_header
from pectl.core.dicom.sources import DICOMDIR, UNLISTED, FileEntry
from pectl.core.storage.apple_double import is_apple_double
from pectl.errors import StudyRefusedError

_NAMED_AS_DICOM = (".dcm", ".dicom", ".ima")
UNREADABLE = ("unreadable_file", "unreadable_folder")
"""Codes of what the file system doesn't give, now; the next run tries again."""


def read_file(entry: FileEntry, cache: HeaderCache) -> Known:
    """Read the headers of one file, or say what it is instead."""
    if entry.size == UNLISTED:
        return Known("unreadable_folder", [])
    try:
        headers, n_damaged = _headers(entry)
    except StudyRefusedError as error:
        return Known(error.code, [])
    except OSError:
        return Known("unreadable_file", [])
    if headers or n_damaged:
        return Known("dicom", [_row(header, cache) for header in headers], n_damaged)
    return Known("damaged_header" if _claims_dicom(entry.path) else "other", [])


def _claims_dicom(path: Path) -> bool:
    return path.suffix.lower() in _NAMED_AS_DICOM and not is_apple_double(path)


def _headers(entry: FileEntry) -> tuple[list[SliceHeader], int]:
    """Return the headers in a file, none where there is no DICOM image, and how many members are damaged.

    Raises:
        StudyRefusedError: a damaged header or archive.
        OSError: the file can't be read.
    """
    if entry.size < 0:
        raise OSError
    if entry.size == 0 or entry.path.name == DICOMDIR:
        return [], 0
    header = read_header(entry.path)
    if header is None:
        return _headers_in_archive(entry.path) if is_archive(entry.path) else ([], 0)
    if not _has_frames(header):
        return [header], 0
    with entry.path.open("rb") as file:
        return list(expand_frames(file, header)), 0


def _has_frames(header: SliceHeader) -> bool:
    """Tell whether a file is to be read frame by frame; an enhanced CT may have one frame a file."""
    return header.frames != 1 or header.grouped


def _headers_in_archive(path: Path) -> tuple[list[SliceHeader], int]:
    found: list[SliceHeader] = []
    n_damaged = 0
    for place, file in read_members(path):
        try:
            header = header_of(file, path)
        except StudyRefusedError:
            n_damaged += 1
            continue
        if header is not None:
            frames = expand_frames(file, header) if _has_frames(header) else (header,)
            found += [frame._replace(member=place) for frame in frames]
    return found, n_damaged


def _row(header: SliceHeader, cache: HeaderCache) -> Row:
    """Return a header without its path, with a token for the patient and its time moved."""
    patient, seconds = cache.patient(header.patient_id), cache.moved(header.seconds, header.study_uid)
    return pack_header(header, patient_id=patient, seconds=seconds)
