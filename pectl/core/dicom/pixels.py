"""One DICOM slice as HU: its own rescale, its own padding, every transfer syntax the plug-ins decode.

pydicom and the plug-ins are imported where a slice needs them: a second that uncompressed ones needn't pay.
"""

import struct
import threading
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from pectl.core.dicom.codestream import stream_size
from pectl.core.dicom.headers import SliceHeader
from pectl.core.dicom.tags import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    HTJ2K,
    IMPLICIT_LITTLE,
    JPEG_2000,
    LOSSLESS_JPEG,
    RLE,
    UNDEFINED_LENGTH,
    find_pixels,
    inflate,
    quiet_pydicom,
)
from pectl.core.storage.hounsfield import AIR_HU
from pectl.errors import StudyRefusedError

if TYPE_CHECKING:
    from pydicom import Dataset

_HIGHEST = 32767
_NO_FILE = ("", "")
_LARGEST_SIDE = 4096
_LONGEST_HEADER = 4 << 20
_NATIVE = (IMPLICIT_LITTLE, EXPLICIT_LITTLE)
_UNCOMPRESSED = (*_NATIVE, EXPLICIT_BIG, DEFLATED)
_OPENJPEG = (*JPEG_2000, *HTJ2K)
_Open = Callable[[SliceHeader], "Dataset"]
_PYDICOM = threading.RLock()
"""Held while pydicom reads or decodes: it is kept quiet for the whole process, and GDCM isn't made for threads."""

DECODED_IN_THREADS = (*LOSSLESS_JPEG, *_OPENJPEG)
"""Transfer syntaxes whose decoders let other threads decode at the same time."""


class PixelReader:
    """Reads slices, in threads too; inside `with`, the file decoded last stays at hand for its other frames."""

    def __init__(self) -> None:
        self._key = _NO_FILE
        self._dataset: Dataset | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the file."""
        self._key, self._dataset = _NO_FILE, None

    def read(self, header: SliceHeader, out: NDArray[np.int16]) -> bool:
        """Write the slice's HU into `out` (rows, columns): slope * value + intercept, padding as -1024.

        Returns:
            Whether there was padding; it lies in the corners, outside the circle of reconstruction.

        Raises:
            StudyRefusedError: truncated or undecodable pixel data.
            OSError: the file can't be read.
        """
        stored = self._stored(header)
        used = _used_bits(header, stored, out.view(stored.dtype))
        padded = _padding_mask(header, stored, used)
        _rescale(header, used, out)
        if padded is not None:
            out[padded] = AIR_HU
        slope, intercept = _rescale_of(header)
        return padded is not None or slope * float(stored[0, 0]) + intercept < AIR_HU

    def _stored(self, header: SliceHeader) -> NDArray[np.integer]:
        if header.pixel_offset and header.transfer_syntax in _NATIVE:
            return _read_native(header)
        return _inflate(header) if header.transfer_syntax == DEFLATED else _decode(header, self._open)

    def _open(self, header: SliceHeader) -> "Dataset":
        import pydicom

        key = str(header.path), header.transfer_syntax
        with _PYDICOM:
            if self._dataset is None or key != self._key:
                with quiet_pydicom():
                    dataset = pydicom.dcmread(header.path, force=True)
                    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(header.transfer_syntax)  # a file may lack it
                self._key, self._dataset = key, dataset
            return self._dataset


def read_hu(header: SliceHeader, out: NDArray[np.int16]) -> bool:
    """Read one slice as `PixelReader.read` does."""
    with PixelReader() as reader:
        return reader.read(header, out)


def check_pixel_header(header: SliceHeader) -> None:
    """Check what the header promises before memory is allocated for it.

    Raises:
        StudyRefusedError: a size or a rescale that no CT slice has.
    """
    sides = (header.rows, header.columns)
    if not all(16 <= side <= _LARGEST_SIDE for side in sides):
        raise _refused(header, "absurd_size", "16 to 4096 rows and columns", f"{sides[0]} x {sides[1]}")
    if header.bits_allocated != 16 or not 8 <= header.bits_stored <= 16:
        found = f"{header.bits_stored} of {header.bits_allocated} bits"
        raise _refused(header, "absurd_size", "8 to 16 stored bits in 16 allocated", found)
    slope, intercept = header.slope, header.intercept
    if slope is None or intercept is None or not 0 < slope <= 100 or abs(intercept) > _HIGHEST:
        found = f"slope {slope}, intercept {intercept}"
        raise _refused(header, "absurd_rescale", "RescaleSlope above 0 and a RescaleIntercept in range", found)


def _read_native(header: SliceHeader) -> NDArray[np.integer]:
    """Read uncompressed pixels from their place in the file."""
    count = header.rows * header.columns
    before = 2 * count * header.frame
    values: NDArray[np.integer] = np.fromfile(header.path, _dtype(header), count, offset=header.pixel_offset + before)
    return _whole(header, values, header.pixel_length - before)


def _whole(header: SliceHeader, values: NDArray[np.integer], n_bytes: int) -> NDArray[np.integer]:
    """Shape the values of a slice, unless there are too few of them."""
    count = header.rows * header.columns
    if len(values) < count or n_bytes < 2 * count:
        found = f"{max(0, min(2 * len(values), n_bytes))} bytes"
        raise _refused(header, "truncated_pixel_data", f"{2 * count} bytes of pixel data", found)
    return values.reshape(header.rows, header.columns)


def _dtype(header: SliceHeader) -> str:
    return "<i2" if header.signed else "<u2"


def _inflate(header: SliceHeader) -> NDArray[np.integer]:
    """Read the pixels of a deflated file, inflating no more of it than its header promises."""
    n_bytes = 2 * header.rows * header.columns
    try:
        plain = inflate(header.path.read_bytes(), n_bytes + _LONGEST_HEADER)
        offset, length = find_pixels(plain)
    except (zlib.error, struct.error, IndexError, ValueError) as error:
        raise _refused(header, "truncated_pixel_data", "deflated pixels", _first_words(error)) from error
    part = plain[offset : offset + n_bytes]
    return _whole(header, np.frombuffer(part[: len(part) // 2 * 2], _dtype(header)), min(length, len(part)))


def _decode(header: SliceHeader, opened: _Open) -> NDArray[np.integer]:
    """Decode compressed or unusual pixel data."""
    try:
        pixels = _decoded(header, opened)
    except (OSError, StudyRefusedError):
        raise
    except Exception as error:
        native = isinstance(error, ValueError) and header.transfer_syntax in _UNCOMPRESSED
        code = "truncated_pixel_data" if native else "undecodable_pixel_data"
        raise _refused(header, code, f"pixels in {_name(header)}", _first_words(error)) from error
    if pixels.shape != (header.rows, header.columns) or pixels.dtype.kind not in "iu":
        found = f"{pixels.dtype} of shape {pixels.shape}"
        expected = f"integers of shape {(header.rows, header.columns)}"
        raise _refused(header, "undecodable_pixel_data", expected, found)
    wanted = np.int16 if header.signed else np.uint16
    return pixels.astype(wanted, copy=False)


def _decoded(header: SliceHeader, opened: _Open) -> NDArray[np.integer]:
    """Decode a slice with libjpeg-turbo or OpenJPEG itself where they can, else with pydicom's plug-ins."""
    if header.transfer_syntax not in _UNCOMPRESSED:
        stream = _read_stream(header, opened)
        _check_stream(header, stream)
        samples = _decode_stream(header, stream)
        if samples is not None:
            return samples
    frame = header.frame if header.frames > 1 else None
    from pydicom.pixels.utils import pixel_array

    with _PYDICOM, quiet_pydicom():
        pixels: NDArray[np.integer] = pixel_array(opened(header), raw=True, index=frame)
    return pixels


def _decode_stream(header: SliceHeader, stream: bytes) -> NDArray[np.integer] | None:
    """Decode a stream without pydicom; None for one that is left to it."""
    if header.transfer_syntax in _OPENJPEG:
        from pectl.core.dicom.jpeg2000 import decode_jpeg2000

        return decode_jpeg2000(stream, bits=header.bits_stored, signed=header.signed)
    if header.transfer_syntax not in LOSSLESS_JPEG:
        return None
    from pectl.core.dicom.lossless_jpeg import decode_lossless_jpeg

    samples = decode_lossless_jpeg(stream)
    if samples is None:
        return None
    stored = samples.view(_dtype(header))
    return _used_bits(header, stored, stored)


def _read_stream(header: SliceHeader, opened: _Open) -> bytes:
    """Read the compressed stream of one frame, of a single frame without what pydicom makes of its file."""
    if header.frames > 1 or not header.pixel_offset or header.pixel_length != UNDEFINED_LENGTH:
        encapsulated = opened(header).PixelData
    else:
        with header.path.open("rb", buffering=0) as file:
            file.seek(header.pixel_offset)
            encapsulated = file.read()
    from pydicom.encaps import get_frame

    stream: bytes = get_frame(encapsulated, header.frame, number_of_frames=header.frames)
    return stream


def _check_stream(header: SliceHeader, stream: bytes) -> None:
    """Check what a compressed stream says about its own size, before a decoder allocates memory for it.

    Raises:
        StudyRefusedError: another size than the header's.
    """
    expected = f"a stream of {header.rows} x {header.columns} pixels in {_name(header)}"
    honest = 2 * header.rows * header.columns
    if header.transfer_syntax == RLE and len(stream) > honest + honest // 64 + 1024:
        raise _refused(header, "undecodable_pixel_data", expected, f"one of {len(stream)} bytes")
    size = stream_size(stream)
    if size is not None and size != (header.rows, header.columns, 1):
        raise _refused(header, "undecodable_pixel_data", expected, " x ".join(map(str, size)))


def _name(header: SliceHeader) -> str:
    """Name a transfer syntax by word and number."""
    from pydicom.uid import UID

    uid = UID(header.transfer_syntax)
    return f"{uid.name} ({uid})" if uid.name != uid else f"transfer syntax {uid[:64]}"


def _padding_mask(
    header: SliceHeader, stored: NDArray[np.integer], used: NDArray[np.integer]
) -> NDArray[np.bool_] | None:
    """Find padding that the rescale wouldn't already bring to -1024 or below (PS3.3, C.7.5.1.1.2).

    Files differ in whether padding also sets the bits above BitsStored, so values are compared with and without them.
    """
    if header.padding is None:
        return None
    limit = header.padding if header.padding_limit is None else header.padding_limit
    lowest, highest = min(header.padding, limit), max(header.padding, limit)
    slope, intercept = _rescale_of(header)
    if slope * highest + intercept <= AIR_HU:
        return None
    mask = _within(stored, lowest, highest)
    if used is not stored:
        mask |= _within(used, lowest, highest)
    return mask if mask.any() else None


def _within(values: NDArray[np.integer], lowest: int, highest: int) -> NDArray[np.bool_]:
    """Mark the values of a closed range."""
    inside: NDArray[np.bool_] = values == lowest if lowest == highest else (values >= lowest) & (values <= highest)
    return inside


def _rescale_of(header: SliceHeader) -> tuple[float, float]:
    """Return slope and intercept; `check_pixel_header` has seen that there are some."""
    return header.slope or 1.0, header.intercept or 0.0


def _used_bits(header: SliceHeader, stored: NDArray[np.integer], out: NDArray[np.integer]) -> NDArray[np.integer]:
    """Clear the bits above BitsStored, where old files keep overlays, and restore the sign.

    Returns:
        `out`, which may be `stored`; `stored` as it is where all bits are used.
    """
    spare = 16 - header.bits_stored
    if spare <= 0:
        return stored
    np.left_shift(stored, spare, out=out)
    np.right_shift(out, spare, out=out)
    return out


def _rescale(header: SliceHeader, stored: NDArray[np.integer], out: NDArray[np.int16]) -> None:
    slope, intercept = _rescale_of(header)
    if slope == 1 and intercept.is_integer():
        add_to_hu(stored, int(intercept), out)
    else:
        scale_to_hu(stored, slope, intercept, out)


def scale_to_hu(stored: NDArray[np.generic], slope: float, intercept: float, out: NDArray[np.int16]) -> None:
    """Scale values, round them, and limit them to [-1024, 32767]."""
    scaled = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    out[...] = np.clip(np.rint(scaled, out=scaled), AIR_HU, _HIGHEST)


def add_to_hu(stored: NDArray[np.integer], intercept: int, out: NDArray[np.int16]) -> None:
    """Add an integer to values of 16 bits and limit to [-1024, 32767], in 16 bits throughout.

    The limits are moved to the stored values; the sum then fits int16, and two's complement makes the
    addition exact for signed and unsigned alike.
    """
    limits = np.iinfo(stored.dtype)
    low = min(max(AIR_HU - intercept, limits.min), limits.max)
    high = max(min(_HIGHEST - intercept, limits.max), low)
    np.clip(stored, stored.dtype.type(low), stored.dtype.type(high), out=out.view(stored.dtype.newbyteorder("=")))
    np.add(out, np.array(intercept).astype(np.int16), out=out)


def _refused(header: SliceHeader, code: str, expected: str, found: str) -> StudyRefusedError:
    return StudyRefusedError(
        code,
        where=f"SOPInstanceUID {header.sop_uid}",
        expected=expected,
        found=found,
        fix="export the series again, or leave this study out",
    )


def _first_words(error: Exception) -> str:
    """Name the failure without a file's path, which may hold a patient's name."""
    return f"{type(error).__name__} in the decoder"
