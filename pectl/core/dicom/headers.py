"""DICOM files and their headers: what the slices of a study say about themselves, pixels untouched."""

import os
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pectl.core.dicom.tags import RawHeader, read_raw_header
from pectl.core.dicom.vocabulary import content_of, integer, modality, syntax_uid, type_words, words_of

_UID = re.compile(r"[0-9A-Za-z.]{1,64}")
_LABEL = re.compile(r"[^0-9A-Za-z_.+/ -]")
_TAGS = {
    "image_type": 0x00080008,
    "sop_uid": 0x00080018,
    "modality": 0x00080060,
    "content_time": 0x00080033,
    "acquisition_moment": 0x0008002A,
    "acquisition_time": 0x00080032,
    "manufacturer": 0x00080070,
    "description": 0x0008103E,
    "patient_id": 0x00100020,
    "contrast": 0x00180010,
    "slice_thickness_mm": 0x00180050,
    "kernel": 0x00181210,
    "study_uid": 0x0020000D,
    "series_uid": 0x0020000E,
    "acquisition": 0x00200012,
    "instance": 0x00200013,
    "position": 0x00200032,
    "orientation": 0x00200037,
    "frame_of_reference": 0x00200052,
    "phase": 0x00200100,
    "samples": 0x00280002,
    "frames": 0x00280008,
    "rows": 0x00280010,
    "columns": 0x00280011,
    "pixel_spacing_mm": 0x00280030,
    "bits_allocated": 0x00280100,
    "bits_stored": 0x00280101,
    "signed": 0x00280103,
    "padding": 0x00280120,
    "padding_limit": 0x00280121,
    "intercept": 0x00281052,
    "slope": 0x00281053,
    "rescale_type": 0x00281054,
    "shared_groups": 0x52009229,
    "frame_groups": 0x52009230,
}
"""The attributes that are read, and no others (DICOM PS3.6)."""
_CLOCK = re.compile(rb"(?:[0-9]{8})?([0-9]{2})([0-9]{2})?([0-9]{2}(?:[.][0-9]*)?)?(?:[+-][0-9]{4})?")
_LONGEST_COUNT = 12  # characters of an integer string (PS3.5, 6.2)
_LONGEST_VALUE = 256  # bytes; the longest honest one is ImageType
DAY_SECONDS = 86400
_WANTED = frozenset(_TAGS.values())


class SliceHeader(NamedTuple):
    """What one image says about itself; a value is None where the file lacks it or it can't be read.

    `position` and `orientation` are ImagePositionPatient and ImageOrientationPatient (LPS, mm),
    `pixel_spacing_mm` is (row step, column step), `contrast` tells whether a ContrastBolusAgent is named.
    `patient_id` is PatientID as read, and in an index a token of it. `phase` is TemporalPositionIdentifier. `seconds`
    is the time of day of the acquisition, or of the content; an index moves it by an amount of the study's own.
    `frame_of_reference` is a checksum of FrameOfReferenceUID, 0 for none. `content` says what the values are where they
    aren't CT numbers as scanned (`vocabulary.content_of`). `frame` counts the frames of a multi-frame file from 0;
    `member` is the place of the file inside the archive `path`, -1 for a file of its own. `padding_limit` is
    PixelPaddingRangeLimit: with it, all values from `padding` to it are padding. `grouped` tells whether there are
    functional groups, so that the image's geometry may stand in them, however many frames there are.
    """

    path: Path
    transfer_syntax: str
    pixel_offset: int
    pixel_length: int
    study_uid: str
    series_uid: str
    sop_uid: str
    patient_id: str
    modality: str
    image_type: tuple[str, ...]
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, ...] | None
    slice_thickness_mm: float | None
    rows: int
    columns: int
    samples: int
    frames: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    padding: int | None
    slope: float | None
    intercept: float | None
    acquisition: str
    contrast: bool
    kernel: str
    manufacturer: str
    phase: str = ""
    seconds: float | None = None
    instance: int | None = None
    frame_of_reference: int = 0
    content: str = ""
    frame: int = 0
    member: int = -1
    padding_limit: int | None = None
    grouped: bool = False

    @property
    def image_uid(self) -> str:
        """Return SOPInstanceUID, and for a multi-frame file the frame's number from 1."""
        return f"{self.sop_uid}#{self.frame + 1}" if self.frames > 1 else self.sop_uid


Row = list[Any]
"""A header without its path: the values of `ROW_FIELDS`, as JSON keeps them."""
ROW_FIELDS = SliceHeader._fields[1:]
_PLACES = {name: place for place, name in enumerate(ROW_FIELDS)}


def pack_header(header: SliceHeader, **changed: Any) -> Row:  # noqa: ANN401 - values of any field
    """Return a header without its path, with other values for some fields."""
    row = list(header[1:])
    for name, value in changed.items():
        row[_PLACES[name]] = value
    return row


def unpack_header(path: Path, row: Row) -> SliceHeader:
    """Return the header of a file; JSON has made lists of its tuples."""
    values: list[Any] = [tuple(value) if isinstance(value, list) else value for value in row]
    return SliceHeader(path, *values)


def packed_value(row: Row, name: str) -> str:
    """Return one text of a packed header by its name."""
    return str(row[_PLACES[name]])


def is_safe_uid(uid: str) -> bool:
    """Tell whether a UID may become a file name: 64 digits, letters and dots, no way out of a folder."""
    return _UID.fullmatch(uid) is not None and not uid.startswith(".") and ".." not in uid


def find_files(root: Path, *, failed: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Yield every file under `root`, whatever its name; `root` may be one file.

    The order is always the same: each folder's files by name, then its folders by name. Folders that are symbolic links
    are followed, each real folder once. `failed` is told of each folder that can't be listed.
    """
    if os.path.isfile(root):  # noqa: PTH113 - False, not an error, where it can't be looked at
        yield root
        return
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=failed):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def read_header(path: Path) -> SliceHeader | None:
    """Read what is needed of a file's header; None for a file that isn't a DICOM image or object.

    Raises:
        StudyRefusedError: it begins as DICOM, and its header is damaged.
        OSError: the file can't be read.
    """
    with path.open("rb", buffering=0) as file:
        return header_of(file, path)


def header_of(file: BinaryIO, path: Path) -> SliceHeader | None:
    """Read a header as `read_header` does from an open file, which `path` only names."""
    raw = read_raw_header(file, _WANTED)
    return None if raw is None else _slice_header(path, raw)


def _slice_header(path: Path, raw: RawHeader) -> SliceHeader:
    value_of = raw.values.get
    values = {name: value_of(tag, b"")[:_LONGEST_VALUE] for name, tag in _TAGS.items()}
    signed = _unsigned(values["signed"]) == 1
    image_type = _words(values["image_type"])
    return SliceHeader(
        path=path,
        transfer_syntax=syntax_uid(raw.transfer_syntax),
        pixel_offset=raw.pixel_offset,
        pixel_length=raw.pixel_length,
        study_uid=_text(values["study_uid"]),
        series_uid=_text(values["series_uid"]),
        sop_uid=_text(values["sop_uid"]),
        patient_id=_text(values["patient_id"]),
        modality=modality(_text(values["modality"])),
        image_type=image_type,
        position=_numbers(values["position"], 3),
        orientation=_shared_numbers(values["orientation"], 6),
        pixel_spacing_mm=_shared_numbers(values["pixel_spacing_mm"], 2),
        slice_thickness_mm=_number(values["slice_thickness_mm"]),
        rows=_unsigned(values["rows"]),
        columns=_unsigned(values["columns"]),
        samples=_unsigned(values["samples"]) or 1,
        frames=_count(values["frames"]),
        bits_allocated=_unsigned(values["bits_allocated"]),
        bits_stored=_unsigned(values["bits_stored"]),
        signed=signed,
        padding=_padding(values["padding"], signed=signed),
        slope=_number(values["slope"]),
        intercept=_number(values["intercept"]),
        acquisition=_integer(values["acquisition"]),
        contrast=bool(_text(values["contrast"])),
        kernel=_label(values["kernel"]),
        manufacturer=_label(values["manufacturer"]),
        phase=_integer(values["phase"]),
        seconds=_seconds(values["acquisition_moment"], values["acquisition_time"], values["content_time"]),
        instance=_instance(values["instance"]),
        frame_of_reference=_checksum(values["frame_of_reference"]),
        content=_content(image_type, values["rescale_type"], values["description"]),
        padding_limit=_padding(values["padding_limit"], signed=signed),
        grouped=_TAGS["shared_groups"] in raw.values or _TAGS["frame_groups"] in raw.values,
    )


@lru_cache(maxsize=4096)
def _text(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")


@lru_cache(maxsize=1024)
def _words(value: bytes) -> tuple[str, ...]:
    return type_words(words_of(_text(value)))


@lru_cache(maxsize=1024)
def _content(image_type: tuple[str, ...], rescale_type: bytes, description: bytes) -> str:
    return content_of(image_type, _text(rescale_type), _text(description))


@lru_cache(maxsize=1024)
def _seconds(*values: bytes) -> float | None:
    """Return the time of day of the first value that has one: a TM, or a DT with its date before it (PS3.5, 6.2)."""
    for value in values:
        found = _CLOCK.fullmatch(value.replace(b":", b"").strip(b" \0"))
        if found:
            hours, minutes, seconds = (float(part or 0) for part in found.groups())
            return 3600 * hours + 60 * minutes + seconds
    return None


@lru_cache(maxsize=1024)
def _integer(value: bytes) -> str:
    return integer(_text(value))


@lru_cache(maxsize=1024)
def _checksum(uid: bytes) -> int:
    return zlib.crc32(uid.strip(b" \0"))


def _instance(value: bytes) -> int | None:
    text = value.strip(b" \0")
    return int(text) if text.isdigit() and len(text) <= _LONGEST_COUNT else None


@lru_cache(maxsize=1024)
def _label(value: bytes) -> str:
    return clean_label(next(iter(words_of(_text(value))), ""))


def clean_label(text: str) -> str:
    """Return a short code such as ConvolutionKernel, stripped of unexpected characters."""
    return _LABEL.sub("", text).strip()[:32]


def finite(numbers: Iterable[float], count: int) -> tuple[float, ...] | None:
    """Return `count` numbers of a size that geometry can have, or None where they aren't that."""
    found = tuple(numbers)
    return found if len(found) == count and all(-1e6 < number < 1e6 for number in found) else None


def _numbers(value: bytes, count: int) -> tuple[float, ...] | None:
    """Parse `count` decimals; None where they aren't that."""
    try:
        return finite(map(float, value.split(b"\\")), count)
    except ValueError:
        return _listed_numbers(value, count)


def _listed_numbers(value: bytes, count: int) -> tuple[float, ...] | None:
    """Parse decimals that were written as a list in text."""
    try:
        return finite(map(float, words_of(_text(value))), count)
    except ValueError:
        return None


_shared_numbers = lru_cache(maxsize=4096)(_numbers)


@lru_cache(maxsize=4096)
def _number(value: bytes) -> float | None:
    numbers = _numbers(value.split(b"\\")[0], 1)
    return None if numbers is None else numbers[0]


def _count(value: bytes) -> int:
    """Read an integer string; 1 where it is none."""
    text = value.strip(b" \0")
    return int(text) if text.isdigit() and len(text) <= _LONGEST_COUNT else 1


def _unsigned(value: bytes) -> int:
    return int(struct.unpack_from("<H", value)[0]) if len(value) >= 2 else 0


@lru_cache(maxsize=64)
def _padding(value: bytes, *, signed: bool) -> int | None:
    """Read PixelPaddingValue or its range's limit; signed if the pixels are, whatever the VR (PS3.3, C.7.5.1.1.2)."""
    return int(struct.unpack_from("<h" if signed else "<H", value)[0]) if len(value) >= 2 else None
