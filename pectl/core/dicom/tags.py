"""The raw header values of one DICOM file: a short walk over its elements, pydicom for everything unusual.

Values stay bytes, so nothing is decoded, checked or warned about that nobody asked for. The walk costs a
tenth of `pydicom.dcmread(stop_before_pixels=True, specific_tags=...)`, which matters for 1.8 million files.
"""

import logging
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pectl.errors import StudyRefusedError

if TYPE_CHECKING:
    import pydicom

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
LOSSLESS_JPEG = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")
RLE = "1.2.840.10008.1.2.5"

UNDEFINED_LENGTH = 0xFFFFFFFF
TRANSFER_SYNTAX = 0x00020010
PIXEL_DATA = 0x7FE00010

_PREAMBLE = 132  # 128 bytes and "DICM" (DICOM PS3.10, 7.1)
_FIRST_READ = 16 * 1024  # holds the header of nearly every CT slice
_META = 1024  # holds the meta header's TransferSyntaxUID
_LAST_READ = 4 * 1024 * 1024
_LONG_FORM = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_EXPLICIT = struct.Struct("<HH2sH").unpack_from
_IMPLICIT = struct.Struct("<HHL").unpack_from
_LENGTH = struct.Struct("<L").unpack_from
_ANY_VR = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()) | _LONG_FORM

_ReadElement = Callable[[bytes, int], tuple[int, int, int]]


class RawHeader(NamedTuple):
    """Element values by tag, as bytes, and where the pixels lie in the file."""

    values: dict[int, bytes]
    transfer_syntax: str
    pixel_offset: int
    """Byte at which the pixel data's value begins; 0 where there is none or pydicom read the header."""
    pixel_length: int
    """Its length in bytes; UNDEFINED_LENGTH when encapsulated."""


class _Unusual(Exception):  # noqa: N818 - a turn to the slow path, not an error
    """The walk met something that is left to pydicom."""


def read_raw_header(file: BinaryIO, wanted: frozenset[int]) -> RawHeader | None:
    """Read the wanted tags of an open file, without its pixels.

    Returns:
        None for a file that isn't DICOM, or has none of them (a DICOMDIR).

    Raises:
        StudyRefusedError: it begins as DICOM, and its header is damaged.
        OSError: the file can't be read.
    """
    head = file.read(_FIRST_READ)
    while True:
        try:
            return _walk(head, wanted)
        except (struct.error, IndexError):
            more = file.read(_LAST_READ) if len(head) <= _LAST_READ else b""
            if not more:
                break
            head += more
        except (_Unusual, UnicodeDecodeError):
            break
    return _read_slowly(file, head, wanted) if looks_like_dicom(head) else None


def _walk(head: bytes, wanted: frozenset[int]) -> RawHeader:
    """Walk over the elements of a file with preamble in a little-endian transfer syntax."""
    if head[128:_PREAMBLE] != b"DICM":
        raise _Unusual
    syntax, at = _transfer_syntax(head)
    if syntax in ("", DEFLATED, EXPLICIT_BIG):
        raise _Unusual
    return _walk_dataset(head, at, syntax, wanted)


def _walk_dataset(head: bytes, at: int, syntax: str, wanted: frozenset[int]) -> RawHeader:
    values: dict[int, bytes] = {}
    read_element = _implicit_element if syntax == IMPLICIT_LITTLE else _explicit_element
    offset, length = _walk_elements(head, at, values, read_element=read_element, wanted=wanted)
    return RawHeader(values, syntax, offset, length)


def find_pixels(content: bytes) -> tuple[int, int]:
    """Return start and length of the pixel data in what `inflate` made.

    Raises:
        ValueError, struct.error, IndexError: there is none.
    """
    try:
        raw = _walk_dataset(content, _transfer_syntax(content)[1], EXPLICIT_LITTLE, frozenset())
    except _Unusual as error:
        raise ValueError("no pixel data") from error
    return raw.pixel_offset, raw.pixel_length


def inflate(content: bytes, limit: int) -> bytes:
    """Return a deflated file as an explicit little-endian one: the meta header, and up to `limit` bytes of dataset.

    Raises:
        struct.error, IndexError: no meta header.
        zlib.error: no deflated dataset.
    """
    _, at = _transfer_syntax(content)
    return content[:at] + zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[at:], limit)


def _transfer_syntax(head: bytes) -> tuple[str, int]:
    """Return TransferSyntaxUID and where the dataset begins; the meta group is explicit VR in every file."""
    at, syntax = _PREAMBLE, b""
    while head[at : at + 2] == b"\x02\x00":
        tag, value_at, length = _explicit_element(head, at)
        at = value_at + length
        if tag == TRANSFER_SYNTAX:
            syntax = head[value_at:at]
    return syntax.decode("ascii").strip(" \0"), at


def _walk_elements(
    head: bytes, at: int, values: dict[int, bytes], *, read_element: _ReadElement, wanted: frozenset[int]
) -> tuple[int, int]:
    """Collect the wanted values; return start and length of the pixel data's value."""
    previous = 0
    while True:
        tag, value_at, length = read_element(head, at)
        if tag >= PIXEL_DATA:
            break
        if tag < previous:
            raise _Unusual
        previous = tag
        if length == UNDEFINED_LENGTH:
            if tag in wanted:
                values[tag] = b""  # a sequence: that it is there
            at = _end_of_sequence(head, value_at, read_element)
            continue
        if tag in wanted:
            values[tag] = head[value_at : value_at + length]
        at = value_at + length
    if tag != PIXEL_DATA:
        raise _Unusual
    return value_at, length


def _explicit_element(head: bytes, at: int) -> tuple[int, int, int]:
    """Return (tag, start of value, length of value) of an element with explicit VR (PS3.5, 7.1.2)."""
    group, element, vr, length = _EXPLICIT(head, at)
    if vr in _LONG_FORM:
        return group << 16 | element, at + 12, _LENGTH(head, at + 8)[0]
    if vr not in _ANY_VR:
        raise _Unusual
    return group << 16 | element, at + 8, length


def _implicit_element(head: bytes, at: int) -> tuple[int, int, int]:
    """Return (tag, start of value, length of value) of an element with implicit VR (PS3.5, 7.1.3)."""
    group, element, length = _IMPLICIT(head, at)
    return group << 16 | element, at + 8, length


def _end_of_sequence(head: bytes, at: int, read_element: _ReadElement) -> int:
    """Return where a sequence of undefined length ends (PS3.5, 7.5)."""
    depth = 1  # open sequences and items of undefined length
    while depth:
        tag, value_at, length = _implicit_element(head, at)
        if tag in (_ITEM_END, _SEQUENCE_END):
            depth -= 1
        elif tag != _ITEM:
            tag, value_at, length = read_element(head, at)
        if length == UNDEFINED_LENGTH:
            depth += 1
            length = 0
        at = value_at + length
    return at


def looks_like_dicom(head: bytes) -> bool:
    """Tell DICOM, also without preamble or meta header, from other files.

    Without "DICM" a file must open with an element of group 0002 or 0008 of modest length.
    """
    if head[128:_PREAMBLE] == b"DICM":
        return True
    if len(head) < 64 or head[:2] not in (b"\x02\x00", b"\x08\x00"):
        return False
    element, vr, length = struct.unpack_from("<H2sH", head, 2)
    return element <= 0x0100 and (vr in _ANY_VR or (length == 0 and vr[1] == 0))


def _read_slowly(file: BinaryIO, head: bytes, wanted: frozenset[int]) -> RawHeader | None:
    """Read what the walk left: deflated files as far as a header may reach, all others with pydicom."""
    if head[128:_PREAMBLE] == b"DICM" and DEFLATED.encode() in head[:_META]:
        return _read_deflated(head + file.read(_LAST_READ), wanted)
    file.seek(0)
    return _read_with_pydicom(file, wanted)


def _read_deflated(content: bytes, wanted: frozenset[int]) -> RawHeader:
    """Read a deflated header; pydicom would inflate the whole file, whatever it grows to."""
    try:
        plain = inflate(content, _LAST_READ)
        raw = _walk_dataset(plain, _transfer_syntax(plain)[1], EXPLICIT_LITTLE, wanted)
    except (zlib.error, struct.error, IndexError, UnicodeDecodeError, _Unusual) as error:
        raise _damaged(error) from error
    return raw._replace(transfer_syntax=DEFLATED, pixel_offset=0, pixel_length=0)


def _read_with_pydicom(file: BinaryIO, wanted: frozenset[int]) -> RawHeader | None:
    import pydicom  # a second of imports that most studies needn't pay

    with quiet_pydicom():
        try:
            dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(wanted), force=True)
            syntax = str(dataset.file_meta.get("TransferSyntaxUID", "") or IMPLICIT_LITTLE)
            values = {tag: _raw_value(dataset, tag) for tag in wanted if tag in dataset}
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise _damaged(error) from error
    return RawHeader(values, syntax, 0, 0) if values else None


def _damaged(error: Exception) -> StudyRefusedError:
    return StudyRefusedError(
        "damaged_header",
        where="a file that begins as DICOM",
        expected="a readable header",
        found=f"{type(error).__name__} in its header",
        fix="export it again, or take it away",
    )


def _raw_value(dataset: "pydicom.Dataset", tag: int) -> bytes:
    """Return an element's bytes, numbers in little-endian order."""
    from pydicom.datadict import dictionary_VR

    value = dataset.get_item(tag).value
    if not isinstance(value, bytes):
        return b""
    binary = dictionary_VR(tag).startswith("US")
    return value[::-1] if binary and not dataset.original_encoding[1] else value


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's remarks on invalid values (RSPECT has one in every UID) off the terminal, here only."""
    logger = logging.getLogger("pydicom")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
