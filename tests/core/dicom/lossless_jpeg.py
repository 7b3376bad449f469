"""A lossless JPEG of one component, made by hand: no free encoder has all seven predictors and point transforms."""

import struct

import numpy as np

_CODE_BITS = 5
"""All 17 categories of differences have codes of this length, which are their own numbers (ITU-T T.81, H.1.2.2)."""


def encode(pixels: np.ndarray, *, predictor: int, point_transform: int = 0, precision: int = 16) -> bytes:
    """Encode a slice (ITU-T T.81, process 14).

    Args:
        pixels: (rows, columns) of unsigned samples below 2 ** precision.
        predictor: 1 to 7 (H.1.2.1, table H.1).
        point_transform: low bits that are dropped.
        precision: bits of a sample.
    """
    rows, columns = pixels.shape
    frame = struct.pack(">BHHBBBB", precision, rows, columns, 1, 1, 0x11, 0)
    counts = bytes(17 if length == _CODE_BITS else 0 for length in range(1, 17))
    scan = bytes((1, 1, 0, predictor, 0, point_transform))
    header = _segment(0xC3, frame) + _segment(0xC4, b"\0" + counts + bytes(range(17))) + _segment(0xDA, scan)
    shifted = pixels.astype(np.int64) >> point_transform
    differences = (shifted - _predicted(shifted, predictor, precision - point_transform)) % 65536
    return b"\xff\xd8" + header + _entropy_coded(differences.ravel().tolist()) + b"\xff\xd9"


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _predicted(values: np.ndarray, predictor: int, bits: int) -> np.ndarray:
    left, above = np.roll(values, 1, axis=1), np.roll(values, 1, axis=0)
    corner = np.roll(above, 1, axis=1)
    predicted = {
        1: left,
        2: above,
        3: corner,
        4: left + above - corner,
        5: left + ((above - corner) >> 1),
        6: above + ((left - corner) >> 1),
        7: (left + above) >> 1,
    }[predictor].copy()
    predicted[0] = left[0]
    predicted[1:, 0] = above[1:, 0]
    predicted[0, 0] = 1 << (bits - 1)
    return predicted


def _entropy_coded(differences: list[int]) -> bytes:
    bits = "".join(map(_code, differences))
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")


def _code(difference: int) -> str:
    """Return category and low bits of a difference modulo 65536; 32768 has no low bits."""
    signed = difference - 65536 if difference > 32768 else difference
    size = abs(signed).bit_length()
    code = f"{size:0{_CODE_BITS}b}"
    if size in (0, 16):
        return code
    return code + f"{signed if signed > 0 else signed + (1 << size) - 1:0{size}b}"
