"""What a compressed image says about itself, read from its markers without decoding it."""

import re
import struct
from collections.abc import Iterator

_JPEG_START, _J2K_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
_JP2_BOXES = 4096  # a JP2 file's boxes before its codestream
_J2K_SAMPLES = 42  # where a codestream says what its first samples are
_STANDALONE = frozenset((0x01, *range(0xD0, 0xDA)))  # markers without a length (ITU-T T.81, B.1.1.3)
_FRAME_HEADERS = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7))
"""Start-of-frame markers of JPEG (T.81, B.1.1.3) and JPEG-LS (T.87, C.1.1)."""

_LOSSLESS_FRAME, _SCAN = 0xC3, 0xDA
_ANY_MARKER = re.compile(rb"\xff[^\x00]")
_END = b"\xff\xd9"

Size = tuple[int, int, int]


def stream_size(stream: bytes) -> Size | None:
    """Return (rows, columns, samples) of a JPEG, JPEG-LS or JPEG 2000 stream; None where it doesn't say."""
    try:
        if stream.startswith(_JPEG_START):
            return _jpeg_size(stream)
        at = stream[:_JP2_BOXES].find(_J2K_START)
        return _j2k_size(stream, at) if at >= 0 else None
    except struct.error:
        return None


def j2k_bits(stream: bytes) -> tuple[int, bool] | None:
    """Return bits and sign of a bare JPEG 2000 codestream with a first sample for each pixel; None for any other."""
    samples, *steps = stream[_J2K_SAMPLES : _J2K_SAMPLES + 3] or [0]  # Ssiz, XRsiz, YRsiz (ITU-T T.800, A.5.1)
    if not stream.startswith(_J2K_START) or steps != [1, 1]:
        return None
    return (samples & 0x7F) + 1, bool(samples & 0x80)


def is_whole_lossless_jpeg(stream: bytes) -> bool:
    """Tell whether a stream is one lossless Huffman-coded image (T.81, process 14), with all of its only scan.

    A cut stream, and one with restart markers, isn't: decoders differ on those.
    """
    scan = 0
    try:
        for marker, at in _segments(stream):
            if marker in _FRAME_HEADERS and marker != _LOSSLESS_FRAME:
                return False
            scan = at if marker == _SCAN else 0
    except struct.error:
        return False
    found = _ANY_MARKER.search(stream, scan) if scan else None
    return found is not None and found[0] == _END


def _jpeg_size(stream: bytes) -> Size | None:
    for marker, at in _segments(stream):
        if marker in _FRAME_HEADERS:
            _, rows, columns, samples = struct.unpack_from(">BHHB", stream, at + 2)
            return rows, columns, samples
    return None


def _segments(stream: bytes) -> Iterator[tuple[int, int]]:
    """Yield marker and place of the length of each marker segment, up to the first scan's header.

    Raises:
        struct.error: the stream ends within one.
    """
    at = 2
    while stream[at : at + 1] == b"\xff":
        marker = struct.unpack_from(">B", stream, at + 1)[0]
        if marker == 0xFF or marker in _STANDALONE:
            at += 1 if marker == 0xFF else 2
            continue
        yield marker, at + 2
        if marker == _SCAN:
            return
        at += 2 + struct.unpack_from(">H", stream, at + 2)[0]


def _j2k_size(stream: bytes, at: int) -> Size:
    """Read the SIZ marker segment (ITU-T T.800, A.5.1)."""
    right, bottom, left, top = struct.unpack_from(">4L", stream, at + 8)
    samples = struct.unpack_from(">H", stream, at + 40)[0]
    return bottom - top, right - left, samples
