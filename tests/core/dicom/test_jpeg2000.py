"""JPEG 2000 and HTJ2K to HU: by OpenJPEG itself where the stream is what the header says, else by pydicom."""

import re

import numpy as np
import pydicom
import pytest
from imagecodecs import htj2k_encode, jpeg2k_encode
from pydicom.encaps import encapsulate

from pectl.core.dicom.headers import read_header
from pectl.core.dicom.jpeg2000 import decode_jpeg2000
from pectl.core.dicom.pixels import read_hu
from pectl.errors import StudyRefusedError

FORMATS = {
    "8 bits": (np.uint16, 8),
    "12 bits": (np.uint16, 12),
    "12 bits signed": (np.int16, 12),
    "16 bits": (np.uint16, 16),
    "16 bits signed": (np.int16, 16),
}
HTJ2K = [pydicom.uid.HTJ2KLossless, pydicom.uid.HTJ2KLosslessRPCL, pydicom.uid.HTJ2K]


def slice_of(dtype, bits):
    """Noise over the whole range, with its ends, and a smooth part."""
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if dtype == np.int16 else (0, (1 << bits) - 1)
    stored = np.random.default_rng(bits).integers(low, high, (40, 36), dtype, endpoint=True)
    stored[4:24] = np.linspace(low, high, 36).astype(dtype)
    stored[0, :2] = low, high
    return stored


def j2k(stored, bits=None):
    stored = stored.astype(np.uint8) if bits == 8 else stored
    return jpeg2k_encode(stored, level=0, codecformat="j2k", bitspersample=bits, reversible=True)


@pytest.fixture
def read(tmp_path, write_series):
    """Write one slice whose pixels are some streams, a frame each, and read a frame's HU."""

    def read(*streams, dtype=np.uint16, bits=16, syntax=pydicom.uid.JPEG2000Lossless, frame=0):
        def edit(dataset, place):
            dataset.PixelData = encapsulate(list(streams))
            dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
            dataset.file_meta.TransferSyntaxUID = syntax
            dataset.BitsStored, dataset.HighBit, dataset.RescaleIntercept = bits, bits - 1, 0
            dataset.PixelRepresentation = int(dtype == np.int16)
            if len(streams) > 1:
                dataset.NumberOfFrames = len(streams)

        write_series(tmp_path, n_slices=1, size=(40, 36), edit=edit)
        out = np.empty((40, 36), np.int16)
        read_hu(read_header(tmp_path / "0000.dcm")._replace(frame=frame), out)
        return out

    return read


@pytest.fixture
def without_pydicom(monkeypatch):
    monkeypatch.setattr("pydicom.pixels.utils.pixel_array", None)


@pytest.mark.usefixtures("without_pydicom")
@pytest.mark.parametrize(("dtype", "bits"), FORMATS.values(), ids=FORMATS)
def test_every_format_is_decoded_without_pydicom(read, dtype, bits):
    stored = slice_of(dtype, bits)
    hu = read(j2k(stored, bits), dtype=dtype, bits=bits)
    np.testing.assert_array_equal(hu, np.clip(stored.astype(int), -1024, 32767))


@pytest.mark.parametrize(("dtype", "bits"), FORMATS.values(), ids=FORMATS)
def test_pydicom_decodes_to_the_same(read, dtype, bits, monkeypatch):
    monkeypatch.setattr("pectl.core.dicom.jpeg2000.jpeg2k_decode", None)
    monkeypatch.setattr("pectl.core.dicom.jpeg2000.j2k_bits", lambda stream: None)
    stored = slice_of(dtype, bits)
    hu = read(j2k(stored, bits), dtype=dtype, bits=bits)
    np.testing.assert_array_equal(hu, np.clip(stored.astype(int), -1024, 32767))


@pytest.mark.usefixtures("without_pydicom")
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
@pytest.mark.parametrize("syntax", HTJ2K, ids=lambda syntax: syntax.name)
def test_htj2k_is_decoded_to_what_was_coded(read, syntax, dtype):
    stored = slice_of(dtype, 16)
    hu = read(htj2k_encode(stored, reversible=True), dtype=dtype, syntax=syntax)
    np.testing.assert_array_equal(hu, np.clip(stored.astype(int), -1024, 32767))


@pytest.mark.usefixtures("without_pydicom")
def test_lossy_htj2k_is_decoded_to_near_what_was_coded(read):
    stored = np.add.outer(np.arange(40), np.arange(36)).astype(np.uint16) * 20
    hu = read(htj2k_encode(stored, reversible=False), syntax=pydicom.uid.HTJ2K)
    np.testing.assert_allclose(hu, stored, rtol=0, atol=1)


def test_other_bits_than_the_headers_are_left_to_pydicom(read):
    stored = slice_of(np.uint16, 12)
    assert decode_jpeg2000(j2k(stored, 16), bits=12, signed=False) is None
    np.testing.assert_array_equal(read(j2k(stored, 16), bits=12), stored)


def test_another_sign_than_the_headers_is_left_to_pydicom(read):
    stored = slice_of(np.int16, 12)
    stream = j2k((stored & 0xFFF).astype(np.uint16), 12)
    assert decode_jpeg2000(stream, bits=12, signed=True) is None
    np.testing.assert_array_equal(read(stream, dtype=np.int16, bits=12), np.maximum(stored, -1024))


def test_a_stream_in_a_jp2_file_is_left_to_pydicom(read):
    stored = slice_of(np.uint16, 16)
    stream = jpeg2k_encode(stored, level=0, codecformat="jp2", reversible=True)
    assert decode_jpeg2000(stream, bits=16, signed=False) is None
    np.testing.assert_array_equal(read(stream), np.minimum(stored, 32767))


@pytest.mark.parametrize("encode", [j2k, htj2k_encode])
@pytest.mark.parametrize("removed", [200, 1000])
def test_a_cut_stream_is_refused_not_filled_up(read, encode, removed):
    stream = encode(slice_of(np.uint16, 16))[:-removed]
    syntax = pydicom.uid.JPEG2000Lossless if encode is j2k else pydicom.uid.HTJ2KLossless
    with pytest.raises(StudyRefusedError, match=re.escape(f"expected pixels in {syntax.name}")) as caught:
        read(stream, syntax=syntax)
    assert caught.value.code == "undecodable_pixel_data"


@pytest.mark.usefixtures("without_pydicom")
@pytest.mark.parametrize("frame", [0, 1])
def test_frames_are_told_apart(read, frame):
    frames = [slice_of(np.uint16, 16), slice_of(np.uint16, 16)[::-1].copy()]
    hu = read(*map(j2k, frames), frame=frame)
    np.testing.assert_array_equal(hu, np.minimum(frames[frame], 32767))
