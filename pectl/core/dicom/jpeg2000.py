"""JPEG 2000 by OpenJPEG in `imagecodecs`: to the values of pydicom's plug-ins, but several threads decode at once."""

import numpy as np
from imagecodecs import Jpeg2kError, jpeg2k_decode
from numpy.typing import NDArray

from pectl.core.dicom.codestream import j2k_bits


def decode_jpeg2000(stream: bytes, *, bits: int, signed: bool) -> NDArray[np.integer] | None:
    """Decode one image whose size has been checked, HTJ2K too.

    Args:
        stream: as DICOM wants it, without the boxes of a JP2 file.
        bits: BitsStored.
        signed: whether PixelRepresentation is 1.

    Returns:
        (rows, columns); None for a stream that says other bits or another sign, or can't be decoded: it is left to
        pydicom, which converts the values or says what is wrong.
    """
    if j2k_bits(stream) != (bits, signed):
        return None
    try:
        samples: NDArray[np.integer] = jpeg2k_decode(stream)
    except Jpeg2kError:
        return None
    return samples
