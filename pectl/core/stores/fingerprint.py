"""Which scan a study is, whatever file it came in: a perceptual hash of its lung box.

The bits are the signs of low frequencies of the box, shrunk to a small cube: a 3-D form of the DCT hash (Zauner 2010).
Another container, rounding, clipping, noise or a resized matrix leaves nearly all of them as they are. A mirrored axis
changes the sign of its odd frequencies alone, so a flipped copy is found by comparing with these bits turned round.

Like a token of a StudyInstanceUID, it tells who has a scan whether a model was made with it, and nothing else: no
picture, no UID and no property of a patient can be had from the signs.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from pectl.core.storage.h5 import read_h5
from pectl.core.stores.tables import MADE_BY

Bits = NDArray[np.uint64]
"""(W,) words of one fingerprint, or (n, W) of several."""

BITS = 880
NEAR = 0.1
"""Share of differing bits up to which two boxes are of one scan; see docs/background/quality-overlap.md."""
_CUBE = 24
_HIGHEST = 9  # frequency along an axis: features of centimetres
_LOWEST_SUM = 8  # of the frequencies along all axes: below, all chests look alike
_WORDS = -(-BITS // 64)
_CLIP_HU = (-1000, 200)
_BLOCK = 256


def fingerprint(hu: NDArray[np.int16]) -> str:
    """Return the fingerprint of a lung box (D, S, S) in HU, as hexadecimal digits."""
    signs = dctn(_shrink(hu), norm="ortho")[_kept()] > 0
    return np.packbits(signs).tobytes().hex()


def fingerprint_file(path: Path) -> str:
    """Return the fingerprint of a study of a store.

    Raises:
        StoreError: its file is missing or damaged.
    """
    with read_h5(path, made_by=MADE_BY) as file:
        return fingerprint(file["hu"][:])


def is_fingerprint(text: object) -> bool:
    """Tell whether a value is a fingerprint of this kind."""
    try:
        return isinstance(text, str) and len(bytes.fromhex(text)) == BITS // 8
    except ValueError:
        return False


def nearest(mine: Sequence[str], others: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return for each fingerprint the share of bits in which its nearest of the others differs, and which that is.

    The others are also mirrored, along any of the three axes.

    Args:
        mine: n fingerprints.
        others: m >= 1 fingerprints.
    """
    share, place = np.ones(len(mine)), np.zeros(len(mine), np.intp)
    for block, differing in _compared(_words(mine), _words(others)):
        place[block] = differing.argmin(axis=1)
        share[block] = differing.min(axis=1) / BITS
    return share, place


def near_pairs(prints: Sequence[str]) -> list[tuple[int, int, float]]:
    """Return all pairs i < j of fingerprints that are near each other, with the share of bits in which they differ."""
    words = _words(prints)
    pairs = []
    for block, differing in _compared(words, words):
        for row, column in np.argwhere(differing <= NEAR * BITS):
            if block.start + row < column:
                pairs.append((int(block.start + row), int(column), float(differing[row, column] / BITS)))
    return pairs


def _compared(first: Bits, second: Bits) -> Iterator[tuple[slice, NDArray[np.int16]]]:
    """Yield for blocks of the first (n, W) in how many bits they differ from the second (m, W), mirrored as is best."""
    turned = [second ^ mask for mask in _mirrors()]
    for start in range(0, len(first), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(first)))
        yield block, np.min([_differing(first[block], one) for one in turned], axis=0)


def _differing(first: Bits, second: Bits) -> NDArray[np.int16]:
    total = np.zeros((len(first), len(second)), np.int16)
    for word in range(_WORDS):
        total += np.bitwise_count(first[:, word, None] ^ second[None, :, word])
    return total


def _shrink(hu: NDArray[np.int16]) -> NDArray[np.float32]:
    """(D, S, S) -> (_CUBE, _CUBE, _CUBE), each voxel the mean of what it covers."""
    side = (_CUBE, _CUBE)
    clipped = np.clip(hu, *_CLIP_HU).astype(np.float32)
    planes = np.stack([cv2.resize(plane, side, interpolation=cv2.INTER_AREA) for plane in clipped])
    columns = planes.reshape(len(planes), -1)  # (D, _CUBE * _CUBE)
    method = cv2.INTER_AREA if len(planes) >= _CUBE else cv2.INTER_LINEAR
    cube = cv2.resize(columns, (columns.shape[1], _CUBE), interpolation=method)
    return np.asarray(cube.reshape(_CUBE, *side), np.float32)


def _kept() -> NDArray[np.bool_]:
    """Return which frequencies are bits: (_CUBE, _CUBE, _CUBE) bool, `BITS` of them."""
    frequency = np.indices((_CUBE,) * 3)
    kept: NDArray[np.bool_] = (frequency.max(axis=0) <= _HIGHEST) & (frequency.sum(axis=0) >= _LOWEST_SUM)
    return kept


def _mirrors() -> list[Bits]:
    """Return the bits that each of the eight combinations of mirrored axes turns round."""
    frequency = np.indices((_CUBE,) * 3)[:, _kept()]  # (3, BITS)
    odd = [(np.array(axes) @ frequency) % 2 == 1 for axes in product((0, 1), repeat=3)]
    return [_words([np.packbits(one).tobytes().hex()])[0] for one in odd]


def _words(prints: Sequence[str]) -> Bits:
    """Return fingerprints as (n, W) words; the rest of the last word is 0."""
    rows = [np.frombuffer(bytes.fromhex(text).ljust(8 * _WORDS, b"\0"), np.uint64) for text in prints]
    return np.stack(rows) if rows else np.zeros((0, _WORDS), np.uint64)
