"""Sizes that compressed streams state, read without decoding."""

import numpy as np
import pydicom
import pytest
from pydicom.encaps import get_frame

from pectl.core.dicom.codestream import is_whole_lossless_jpeg, j2k_bits, stream_size
from pectl.core.dicom.headers import read_header
from pectl.core.dicom.pixels import read_hu
from pectl.errors import StudyRefusedError
from tests.core.dicom.lossless_jpeg import encode


@pytest.fixture
def compressed(tmp_path, write_series):
    def make(syntax):
        write_series(tmp_path, n_slices=1, size=(40, 56), edit=lambda dataset, place: dataset.compress(syntax))
        return tmp_path / "0000.dcm"

    return make


def stream_of(path):
    return get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1)


@pytest.mark.parametrize("syntax", [pydicom.uid.JPEG2000Lossless, pydicom.uid.JPEGLSLossless])
def test_the_size_of_what_pydicom_writes(compressed, syntax):
    assert stream_size(stream_of(compressed(syntax))) == (40, 56, 1)


def test_jpeg_markers_before_the_frame_header():
    comment = b"\xff\xfe\x00\x06text"
    frame = b"\xff\xc3\x00\x0b\x0c" + (300).to_bytes(2) + (512).to_bytes(2) + b"\x01\x01\x11\x00"
    assert stream_size(b"\xff\xd8" + comment + b"\xff\xff" + frame[1:]) == (300, 512, 1)


@pytest.mark.parametrize(
    "stream", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xc0\0", b"\xff\x4f\xff\x51\0", b"rubbish"]
)
def test_streams_that_say_nothing(stream):
    assert stream_size(stream) is None


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        (b"\x0b\1\1", (12, False)),
        (b"\x8f\1\1", (16, True)),
        (b"\x0b\2\1", None),
        (b"\x0b\1\2", None),
        (b"\x0b\1", None),
        (b"", None),
    ],
)
def test_bits_and_sign_of_a_codestream(samples, found):
    assert j2k_bits(b"\xff\x4f\xff\x51" + bytes(38) + samples) == found
    assert j2k_bits(b"\xff\xd8\xff\xe0" + bytes(38) + samples) is None


LOSSLESS = encode(np.arange(300).reshape(15, 20), predictor=1)
SCAN = LOSSLESS.index(b"\xff\xda")


@pytest.mark.parametrize("after", [b"", b"\0", b"\0" * 9])
def test_a_whole_lossless_jpeg(after):
    assert is_whole_lossless_jpeg(LOSSLESS + after)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        LOSSLESS[:2],
        LOSSLESS[:SCAN],
        LOSSLESS[: SCAN + 3],
        LOSSLESS[:-1],
        LOSSLESS[:-2],
        LOSSLESS[:-40] + b"\xff\xd0" + LOSSLESS[-40:],
        LOSSLESS[:-2] + LOSSLESS[SCAN:],
        LOSSLESS.replace(b"\xff\xc3", b"\xff\xc0"),
        LOSSLESS.replace(b"\xff\xc3", b"\xff\xf7"),
    ],
    ids=[
        "empty",
        "start",
        "no scan",
        "no length",
        "half the end",
        "no end",
        "restart",
        "two scans",
        "baseline",
        "JPEG-LS",
    ],
)
def test_other_streams_are_no_whole_lossless_jpeg(stream):
    assert not is_whole_lossless_jpeg(stream)


@pytest.mark.parametrize("syntax", [pydicom.uid.JPEG2000Lossless, pydicom.uid.JPEGLSLossless])
def test_a_stream_larger_than_its_header_is_not_decoded(compressed, syntax, monkeypatch):
    """A decoder would allocate 8 GB for it."""
    path = compressed(syntax)
    content = path.read_bytes()
    if syntax == pydicom.uid.JPEG2000Lossless:
        at = content.index(b"\xff\x4f\xff\x51") + 8
        content = content[:at] + (60000).to_bytes(4) + (60000).to_bytes(4) + content[at + 8 :]
    else:
        at = content.index(b"\xff\xf7") + 5
        content = content[:at] + (60000).to_bytes(2) + (60000).to_bytes(2) + content[at + 4 :]
    path.write_bytes(content)
    monkeypatch.setattr("pydicom.pixels.utils.pixel_array", None)
    with pytest.raises(StudyRefusedError, match=r"expected a stream of 40 x 56 pixels .*, found 60000 x 60000 x 1"):
        read_hu(read_header(path), np.empty((40, 56), np.int16))


def test_an_rle_stream_longer_than_its_pixels_is_not_decoded(compressed, monkeypatch):
    path = compressed(pydicom.uid.RLELossless)
    dataset = pydicom.dcmread(path)
    dataset.PixelData = pydicom.encaps.encapsulate([stream_of(path) + bytes(1 << 20)])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    monkeypatch.setattr("pydicom.pixels.utils.pixel_array", None)
    with pytest.raises(
        StudyRefusedError, match=r"expected a stream of 40 x 56 pixels in RLE Lossless .*, found one of"
    ):
        read_hu(read_header(path), np.empty((40, 56), np.int16))
