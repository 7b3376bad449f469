"""The bytes of DICOM files that differ in few elements: what they share is encoded once for a series.

Elements are little endian, in the order of their tags (PS3.5 7.1).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag

PREFIX = b"\x00" * 128 + b"DICM"
"""Of a file, before its meta information (PS3.10 7.1)."""
_GROUP_LENGTH, _PIXEL_DATA, _END_OF_SEQUENCE = (0x0002, 0x0000), (0x7FE0, 0x0010), (0xFFFE, 0xE0DD)
_LAST_TAG = 0xFFFFFFFF
_UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True)
class _Field:
    """An element of text."""

    keyword: str
    head: bytes
    """Tag and, unless it is implicit (PS3.5 7.1.3), value representation."""
    length_format: str
    padding: bytes

    @classmethod
    def of(cls, keyword: str, *, implicit: bool) -> "_Field":
        tag, vr = Tag(keyword), dictionary_VR(keyword)
        head = struct.pack("<HH", tag.group, tag.element) + (b"" if implicit else vr.encode())
        return cls(keyword, head, "<I" if implicit else "<H", b"\x00" if vr == "UI" else b" ")

    def encoded(self, text: str) -> bytes:
        value = text.encode("ascii")
        value += self.padding * (len(value) % 2)
        return self.head + struct.pack(self.length_format, len(value)) + value


@dataclass(frozen=True)
class Template:
    """Encoded elements, cut open where those of one file belong."""

    parts: tuple[bytes, ...]
    """One more than `fields`."""
    fields: tuple[_Field, ...]

    @classmethod
    def of(cls, dataset: Dataset, keywords: tuple[str, ...], *, implicit: bool) -> "Template":
        """Encode all of a data set but these elements, which are to be named in the order of their tags."""
        cuts = pairwise([0, *map(Tag, keywords), _LAST_TAG])
        parts = tuple(_encoded(dataset[low + 1 : high], implicit=implicit) for low, high in cuts)
        return cls(parts, tuple(_Field.of(keyword, implicit=implicit) for keyword in keywords))

    def filled(self, values: Mapping[str, str]) -> bytes:
        """Return all elements, with these values, by keyword, in the places left open."""
        pieces = [self.parts[0]]
        for field, part in zip(self.fields, self.parts[1:], strict=True):
            pieces += [field.encoded(values[field.keyword]), part]
        return b"".join(pieces)


def meta_bytes(elements: bytes) -> bytes:
    """Return file meta information that begins with its length, as it must."""
    return struct.pack("<HH2sHI", *_GROUP_LENGTH, b"UL", 4, len(elements)) + elements


def pixel_bytes(pixels: bytes, *, implicit: bool, compressed: bool) -> bytes:
    """Return the element PixelData of an even number of bytes; compressed ones are encapsulated (PS3.5 A.4)."""
    if compressed:
        head = struct.pack("<HH2sHI", *_PIXEL_DATA, b"OB", 0, _UNDEFINED_LENGTH)
        return head + pixels + struct.pack("<HHI", *_END_OF_SEQUENCE, 0)
    if implicit:
        return struct.pack("<HHI", *_PIXEL_DATA, len(pixels)) + pixels
    return struct.pack("<HH2sHI", *_PIXEL_DATA, b"OW", 0, len(pixels)) + pixels


def _encoded(dataset: Dataset, *, implicit: bool) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, implicit
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())
