"""DICOM files and their headers: what the slices of a study say about themselves, pixels untouched."""

import os
import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pectl.core.data.dicom_tags import RawHeader, read_raw_header

_UID = re.compile(r"[0-9A-Za-z.]{1,64}")
_LABEL = re.compile(r"[^0-9A-Za-z_.+/ -]")
_TAGS = {
    "image_type": 0x00080008,
    "sop_uid": 0x00080018,
    "modality": 0x00080060,
    "manufacturer": 0x00080070,
    "patient_id": 0x00100020,
    "contrast": 0x00180010,
    "slice_thickness_mm": 0x00180050,
    "kernel": 0x00181210,
    "study_uid": 0x0020000D,
    "series_uid": 0x0020000E,
    "acquisition": 0x00200012,
    "position": 0x00200032,
    "orientation": 0x00200037,
    "samples": 0x00280002,
    "frames": 0x00280008,
    "rows": 0x00280010,
    "columns": 0x00280011,
    "pixel_spacing_mm": 0x00280030,
    "bits_allocated": 0x00280100,
    "bits_stored": 0x00280101,
    "signed": 0x00280103,
    "padding": 0x00280120,
    "intercept": 0x00281052,
    "slope": 0x00281053,
}
"""The attributes that are read, and no others (DICOM PS3.6)."""
_WANTED = frozenset(_TAGS.values())


class SliceHeader(NamedTuple):
    """What one image says about itself; a value is None where the file lacks it or it can't be read.

    `position` and `orientation` are ImagePositionPatient and ImageOrientationPatient (LPS, mm),
    `pixel_spacing_mm` is (row step, column step), `contrast` tells whether a ContrastBolusAgent is named.
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


def is_safe_uid(uid: str) -> bool:
    """Tell whether a UID may become a file name: 64 digits, letters and dots, no way out of a folder."""
    return _UID.fullmatch(uid) is not None and not uid.startswith(".") and ".." not in uid


def find_files(root: Path) -> Iterator[Path]:
    """Yield every file under `root`, whatever its name; `root` may be one file.

    The order is always the same: each folder's files by name, then its folders by name. Folders that are symbolic links
    are followed, each real folder once.
    """
    if root.is_file():
        yield root
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
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
    raw = read_raw_header(path, _WANTED)
    return None if raw is None else _slice_header(path, raw)


def _slice_header(path: Path, raw: RawHeader) -> SliceHeader:
    values = {name: raw.values.get(tag, b"") for name, tag in _TAGS.items()}
    signed = _unsigned(values["signed"]) == 1
    return SliceHeader(
        path=path,
        transfer_syntax=raw.transfer_syntax,
        pixel_offset=raw.pixel_offset,
        pixel_length=raw.pixel_length,
        study_uid=_text(values["study_uid"]),
        series_uid=_text(values["series_uid"]),
        sop_uid=_text(values["sop_uid"]),
        patient_id=_text(values["patient_id"]),
        modality=_text(values["modality"]),
        image_type=_words(values["image_type"]),
        position=_numbers(values["position"], 3),
        orientation=_shared_numbers(values["orientation"], 6),
        pixel_spacing_mm=_shared_numbers(values["pixel_spacing_mm"], 2),
        slice_thickness_mm=_number(values["slice_thickness_mm"]),
        rows=_unsigned(values["rows"]),
        columns=_unsigned(values["columns"]),
        samples=_unsigned(values["samples"]) or 1,
        frames=int(_number(values["frames"]) or 1),
        bits_allocated=_unsigned(values["bits_allocated"]),
        bits_stored=_unsigned(values["bits_stored"]),
        signed=signed,
        padding=_padding(values["padding"], signed=signed),
        slope=_number(values["slope"]),
        intercept=_number(values["intercept"]),
        acquisition=_text(values["acquisition"]),
        contrast=bool(_text(values["contrast"])),
        kernel=_label(values["kernel"]),
        manufacturer=_label(values["manufacturer"]),
    )


@lru_cache(maxsize=4096)
def _text(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")


@lru_cache(maxsize=1024)
def _words(value: bytes) -> tuple[str, ...]:
    return tuple(word.strip().upper() for word in _text(value).split("\\") if word.strip())


@lru_cache(maxsize=1024)
def _label(value: bytes) -> str:
    """Return the first value of a short code such as ConvolutionKernel, stripped of unexpected characters."""
    return _LABEL.sub("", _text(value).split("\\")[0]).strip()[:32]


def _numbers(value: bytes, count: int) -> tuple[float, ...] | None:
    """Parse `count` finite decimals; None where they aren't that."""
    try:
        numbers = tuple(map(float, value.split(b"\\")))
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(-1e6 < number < 1e6 for number in numbers) else None


_shared_numbers = lru_cache(maxsize=4096)(_numbers)


@lru_cache(maxsize=4096)
def _number(value: bytes) -> float | None:
    numbers = _numbers(value.split(b"\\")[0], 1)
    return None if numbers is None else numbers[0]


def _unsigned(value: bytes) -> int:
    return int(struct.unpack_from("<H", value)[0]) if len(value) >= 2 else 0


@lru_cache(maxsize=64)
def _padding(value: bytes, *, signed: bool) -> int | None:
    """Read PixelPaddingValue; it is signed if the pixels are, whatever its VR (PS3.3, C.7.5.1.1.2)."""
    return int(struct.unpack_from("<h" if signed else "<H", value)[0]) if len(value) >= 2 else None
