"""Pixels to HU: each slice's own rescale and padding, every number format, what headers may not promise."""

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate

from pectl.core.dicom.headers import read_header
from pectl.core.dicom.pixels import check_pixel_header, read_hu
from pectl.errors import StudyRefusedError
from tests.core.dicom.lossless_jpeg import encode


@pytest.fixture
def write_slice(tmp_path, write_series):
    """Write one slice of given stored values and return its header."""

    def write(stored, *, syntax=None, stream=None, streams=(), **attributes):
        stored = np.asarray(stored)
        encoded = [stream] if stream else list(streams)

        def edit(dataset, place):
            dataset.PixelRepresentation = int(stored.dtype.kind == "i")
            dataset.PixelData = stored.tobytes()
            for keyword, value in attributes.items():
                setattr(dataset, keyword, value)
            if syntax:
                dataset.compress(syntax)
            if encoded:
                dataset.PixelData = encapsulate(encoded)
                dataset["PixelData"].VR = "OB"
                dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLossless

        write_series(tmp_path, n_slices=1, size=stored.shape, edit=edit)
        return read_header(tmp_path / "0000.dcm")

    return write


def hu_of(header):
    out = np.empty((header.rows, header.columns), np.int16)
    padded = read_hu(header, out)
    return out, padded


def values(dtype, *some):
    """A slice with these values in its second row, air (HU -1000 at intercept -1024) elsewhere."""
    stored = np.full((16, 16), 24, dtype)
    stored[1, : len(some)] = some
    return stored


@pytest.mark.parametrize(
    ("dtype", "intercept"), [(np.uint16, -1024), (np.int16, -1024), (np.int16, 0), (np.int16, 500)]
)
def test_integers_in_16_bits_equal_wide_arithmetic(write_slice, dtype, intercept):
    limits = np.iinfo(dtype)
    stored = np.random.default_rng(0).integers(limits.min, limits.max, (16, 16), dtype, endpoint=True)
    stored[0, :4] = [limits.min, limits.max, 0, 1]
    expected = np.clip(stored.astype(np.int64) + intercept, -1024, 32767)
    np.testing.assert_array_equal(hu_of(write_slice(stored, RescaleIntercept=intercept))[0], expected)


@pytest.mark.parametrize(("slope", "intercept"), [(0.5, -1024), (2, -1024), (1, -1000.5), (1.25, 3)])
def test_any_slope_and_intercept(write_slice, slope, intercept):
    stored = np.random.default_rng(1).integers(0, 4096, (16, 16), np.uint16)
    expected = np.clip(np.rint(stored.astype(int) * slope + intercept), -1024, 32767)
    header = write_slice(stored, RescaleSlope=slope, RescaleIntercept=intercept)
    np.testing.assert_array_equal(hu_of(header)[0], expected)


def test_padding_and_everything_below_air_become_air(write_slice):
    stored = values(np.int16, -2000, -5, 0, 1024)
    stored[0, 0] = -2000
    hu, padded = hu_of(write_slice(stored, PixelPaddingValue=-2000))
    assert hu[1, :4].tolist() == [-1024, -1024, -1024, 0]
    assert padded


def test_padding_of_a_value_that_looks_like_tissue(write_slice):
    stored = values(np.uint16, 1500, 1024)
    header = write_slice(stored, PixelPaddingValue=1500)
    hu, padded = hu_of(header)
    assert hu[1, :2].tolist() == [-1024, 0]
    assert padded


@pytest.mark.parametrize(
    ("dtype", "value", "limit", "inside", "outside"),
    [
        (np.uint16, 63488, 63536, (63488, 63500, 63536), (63487, 63537)),
        (np.uint16, 63536, 63488, (63488, 63500, 63536), (63487, 63537)),
        (np.int16, 32000, 32767, (32000, 32767), (31999, -2000)),
        (np.int16, 32767, 32000, (32000, 32767), (31999, -2000)),
        (np.int16, -3000, 1100, (-3000, 0, 1100), (1101, 4000)),
        (np.int16, 1100, -3000, (-3000, 0, 1100), (1101, 4000)),
        (np.uint16, 1500, 1500, (1500,), (1499, 1501)),
    ],
)
def test_padding_of_a_range_of_values_in_either_order(write_slice, dtype, value, limit, inside, outside):
    stored = values(dtype, *inside, *outside)
    hu, padded = hu_of(write_slice(stored, PixelPaddingValue=value, PixelPaddingRangeLimit=limit))
    assert padded
    assert hu[1, : len(inside)].tolist() == [-1024] * len(inside)
    kept = np.clip(np.array(outside) - 1024, -1024, 32767)
    assert hu[1, len(inside) : len(inside) + len(outside)].tolist() == kept.tolist()


def test_a_range_below_air_costs_no_voxel(write_slice):
    stored = values(np.int16, -2000, -1100, 1024)
    hu, _ = hu_of(write_slice(stored, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1100))
    assert hu[1, :3].tolist() == [-1024, -1024, 0]


def test_a_limit_without_a_value_is_no_range(write_slice):
    stored = values(np.uint16, 1500, 1024)
    hu, padded = hu_of(write_slice(stored, PixelPaddingRangeLimit=1500))
    assert hu[1, :2].tolist() == [476, 0]
    assert not padded


@pytest.mark.parametrize("stored_as", [0x0FFF, 0x1FFF], ids=["as it is", "with an overlay bit"])
def test_padding_is_found_below_the_bits_of_an_overlay(write_slice, stored_as):
    header = write_slice(values(np.uint16, stored_as, 1024), BitsStored=12, HighBit=11, PixelPaddingValue=0x0FFF)
    hu, padded = hu_of(header)
    assert hu[1, :2].tolist() == [-1024, 0]
    assert padded


def test_padding_above_the_stored_bits_is_found_too(write_slice):
    stored = values(np.uint16, 63500, 1024)
    options = {"BitsStored": 12, "HighBit": 11, "PixelPaddingValue": 63488, "PixelPaddingRangeLimit": 63536}
    hu, padded = hu_of(write_slice(stored, **options))
    assert hu[1, :2].tolist() == [-1024, 0]
    assert padded


def test_no_padding(write_slice):
    assert not hu_of(write_slice(values(np.uint16, 1024), PixelPaddingValue=1500))[1]
    assert not hu_of(write_slice(values(np.uint16, 1024)))[1]


def test_overlays_above_the_stored_bits_are_ignored_and_the_sign_restored(write_slice):
    unsigned = values(np.uint16, 0xF400, 1024)
    header = write_slice(unsigned, BitsStored=12, HighBit=11)
    assert hu_of(header)[0][1, :2].tolist() == [0, 0]
    signed = values(np.int16, 0x0FFF, 0x0400)  # -1 and 1024 in 12 bits
    header = write_slice(signed, BitsStored=12, HighBit=11, RescaleIntercept=0)
    assert hu_of(header)[0][1, :2].tolist() == [-1, 1024]


@pytest.mark.parametrize(
    "syntax", [pydicom.uid.RLELossless, pydicom.uid.JPEG2000Lossless, pydicom.uid.JPEGLSLossless], ids=str
)
def test_compressed_slices_decode_to_the_same_hu(write_slice, syntax):
    stored = np.random.default_rng(2).integers(0, 3000, (32, 32), np.uint16)
    header = write_slice(stored, syntax=syntax)
    assert header.transfer_syntax == syntax
    np.testing.assert_array_equal(hu_of(header)[0], stored.astype(int) - 1024)


def deflated(tmp_path, stored, cut=0):
    dataset = pydicom.dcmread(tmp_path / "0000.dcm")
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.PixelData = stored.tobytes()[: len(stored.tobytes()) - cut]
    dataset.save_as(tmp_path / "0000.dcm")
    return read_header(tmp_path / "0000.dcm")


FORMATS = {
    "8 bits": (np.uint16, 8),
    "8 bits signed": (np.int16, 8),
    "12 bits": (np.uint16, 12),
    "12 bits signed": (np.int16, 12),
    "16 bits": (np.uint16, 16),
    "16 bits signed": (np.int16, 16),
}


def slice_of(dtype, bits):
    """Noise over the whole range, with its ends, and a smooth part; the low two bits are empty."""
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if dtype == np.int16 else (0, (1 << bits) - 1)
    stored = np.random.default_rng(bits).integers(low, high, (24, 20), dtype, endpoint=True)
    stored[4:12] = np.linspace(low, high, 20).astype(dtype)
    stored[0, :2] = low, high
    return stored & ~dtype(3)


@pytest.fixture(params=["libjpeg-turbo", "GDCM"])
def decoder(request, monkeypatch):
    """Leave lossless JPEG to one decoder alone."""
    if request.param == "GDCM":
        monkeypatch.setattr("pectl.core.dicom.lossless_jpeg.decode_lossless_jpeg", lambda stream: None)
    else:
        monkeypatch.setattr("pydicom.pixels.utils.pixel_array", None)


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize(("dtype", "bits"), FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("point_transform", [0, 2])
@pytest.mark.parametrize("predictor", range(1, 8))
def test_lossless_jpeg_of_every_predictor_and_point_transform(write_slice, predictor, point_transform, dtype, bits):
    stored = slice_of(dtype, bits)
    samples = stored.astype(np.int64) % (1 << bits)
    stream = encode(samples, predictor=predictor, point_transform=point_transform, precision=bits)
    header = write_slice(stored, stream=stream, BitsStored=bits, HighBit=bits - 1, RescaleIntercept=0)
    np.testing.assert_array_equal(hu_of(header)[0], np.clip(stored.astype(int), -1024, 32767))


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("precision", [7, 10, 16])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_lossless_jpeg_of_another_precision_than_the_headers(write_slice, dtype, precision):
    """The header's 12 bits are used, whatever else the stream has; padding is looked for among those."""
    samples = np.random.default_rng(precision).integers(0, 1 << precision, (24, 20))
    samples[0, :2] = 0, (1 << precision) - 1
    options = {"BitsStored": 12, "HighBit": 11, "RescaleIntercept": 0, "PixelPaddingValue": 70}
    header = write_slice(np.zeros((24, 20), dtype), stream=encode(samples, predictor=1, precision=precision), **options)
    used = samples % 4096
    expected = np.where(used >= 2048, used - 4096, used) if dtype == np.int16 else used
    np.testing.assert_array_equal(hu_of(header)[0], np.where(expected == 70, -1024, np.maximum(expected, -1024)))


@pytest.mark.parametrize("removed", [3, 200])
def test_a_cut_lossless_jpeg_is_refused_not_filled_up(write_slice, removed):
    stored = slice_of(np.uint16, 12)
    stream = encode(stored, predictor=1, precision=12)[:-removed]
    header = write_slice(stored, stream=stream, BitsStored=12, HighBit=11)
    with pytest.raises(StudyRefusedError, match="expected pixels in JPEG Lossless") as caught:
        hu_of(header)
    assert caught.value.code == "undecodable_pixel_data"


def test_frames_of_lossless_jpeg_are_told_apart(write_slice):
    frames = [slice_of(dtype, 12).view(np.uint16) for dtype in (np.uint16, np.int16)]
    streams = [encode(frame % 4096, predictor=1, precision=12) for frame in frames]
    options = {"BitsStored": 12, "HighBit": 11, "RescaleIntercept": 0, "NumberOfFrames": 2}
    header = write_slice(frames[0], streams=streams, **options)
    for place, frame in enumerate(frames):
        np.testing.assert_array_equal(hu_of(header._replace(frame=place))[0], frame % 4096)


@pytest.mark.parametrize(("dtype", "bits"), FORMATS.values(), ids=FORMATS)
def test_jpeg_ls_of_signed_and_unsigned_values(write_slice, dtype, bits):
    stored = slice_of(dtype, bits)
    options = {"BitsStored": bits, "HighBit": bits - 1, "RescaleIntercept": 0}
    header = write_slice(stored, syntax=pydicom.uid.JPEGLSLossless, **options)
    np.testing.assert_array_equal(hu_of(header)[0], np.clip(stored.astype(int), -1024, 32767))


def test_deflated_slices_are_inflated_to_the_same_hu(write_slice, tmp_path):
    stored = np.random.default_rng(2).integers(0, 3000, (32, 32), np.uint16)
    write_slice(stored)
    header = deflated(tmp_path, stored)
    assert header.transfer_syntax == pydicom.uid.DeflatedExplicitVRLittleEndian
    np.testing.assert_array_equal(hu_of(header)[0], stored.astype(int) - 1024)


def test_deflated_slices_may_be_truncated_too(write_slice, tmp_path):
    stored = values(np.uint16)
    write_slice(stored)
    with pytest.raises(StudyRefusedError, match="expected 512 bytes of pixel data, found 412 bytes") as caught:
        hu_of(deflated(tmp_path, stored, cut=100))
    assert caught.value.code == "truncated_pixel_data"
    header = deflated(tmp_path, stored)
    header.path.write_bytes(header.path.read_bytes()[:-60] + bytes(30))
    with pytest.raises(StudyRefusedError) as caught:
        hu_of(header)
    assert caught.value.code == "truncated_pixel_data"


@pytest.mark.parametrize("removed", [1, 100, 512])
def test_truncated_pixel_data_is_refused(write_slice, removed):
    header = write_slice(values(np.uint16))
    header.path.write_bytes(header.path.read_bytes()[:-removed])
    message = rf"1\.2\.3\.1\.0: expected 512 bytes of pixel data, found {(512 - removed) // 2 * 2} bytes;"
    with pytest.raises(StudyRefusedError, match=message) as caught:
        hu_of(read_header(header.path))
    assert caught.value.code == "truncated_pixel_data"


def test_pixel_data_shorter_than_the_matrix_is_refused(write_slice):
    header = write_slice(values(np.uint16), Rows=32)
    with pytest.raises(StudyRefusedError, match="expected 1024 bytes of pixel data, found 512 bytes") as caught:
        hu_of(header)
    assert caught.value.code == "truncated_pixel_data"


def without_meta(content):
    """Cut off preamble and meta header."""
    return content[content.index(b"\x08\x00\x08\x00") :]


def test_a_file_without_meta_header(write_slice):
    header = write_slice(values(np.uint16, 1024))
    expected = hu_of(header)[0]
    header.path.write_bytes(without_meta(header.path.read_bytes()))
    np.testing.assert_array_equal(hu_of(read_header(header.path))[0], expected)


def test_truncated_pixel_data_of_a_file_without_meta_header(write_slice):
    header = write_slice(values(np.uint16))
    header.path.write_bytes(without_meta(header.path.read_bytes())[:-100])
    with pytest.raises(StudyRefusedError, match="found ValueError in the decoder") as caught:
        hu_of(read_header(header.path))
    assert caught.value.code == "truncated_pixel_data"


def test_a_broken_stream_is_refused_with_its_syntax(write_slice):
    stored = np.random.default_rng(2).integers(0, 3000, (32, 32), np.uint16)
    header = write_slice(stored, syntax=pydicom.uid.JPEG2000Lossless)
    content = header.path.read_bytes()
    header.path.write_bytes(content.replace(b"\xff\x4f\xff\x51", b"\0\0\0\0"))
    message = r"expected pixels in JPEG 2000 .*\(1\.2\.840\.10008\.1\.2\.4\.90\), found \w+ in the decoder"
    with pytest.raises(StudyRefusedError, match=message) as caught:
        hu_of(read_header(header.path))
    assert caught.value.code == "undecodable_pixel_data"


def test_a_stream_of_another_size_is_refused(write_slice):
    header = write_slice(values(np.uint16, 5), syntax=pydicom.uid.JPEGLSLossless)
    with pytest.raises(StudyRefusedError) as caught:
        hu_of(header._replace(rows=32))
    assert caught.value.code == "undecodable_pixel_data"
    assert "expected a stream of 32 x 16 pixels in JPEG-LS Lossless" in str(caught.value)
    assert "found 16 x 16 x 1;" in str(caught.value)


def test_messages_hold_no_path(write_slice):
    header = write_slice(values(np.uint16))
    header.path.write_bytes(header.path.read_bytes()[:-9])
    with pytest.raises(StudyRefusedError) as caught:
        hu_of(header)
    assert str(header.path.parent) not in str(caught.value)


def test_a_missing_file_is_an_os_error(make_header):
    with pytest.raises(FileNotFoundError):
        read_hu(make_header(pixel_offset=100), np.empty((64, 64), np.int16))


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"rows": 65535}, "absurd_size", "expected 16 to 4096 rows and columns, found 65535 x 64"),
        ({"columns": 0}, "absurd_size", "found 64 x 0"),
        (
            {"bits_allocated": 8},
            "absurd_size",
            "expected 8 to 16 stored bits in 16 allocated, found 12 of 8 bits",
        ),
        ({"bits_stored": 0}, "absurd_size", "found 0 of 16 bits"),
        ({"slope": None}, "absurd_rescale", "found slope None, intercept -1024.0"),
        ({"slope": 0.0}, "absurd_rescale", "expected RescaleSlope above 0 and a RescaleIntercept in range"),
        ({"intercept": None}, "absurd_rescale", "found slope 1.0, intercept None"),
        ({"intercept": 1e5}, "absurd_rescale", "intercept 100000.0"),
    ],
)
def test_headers_that_no_ct_slice_has(make_header, changes, code, message):
    check_pixel_header(make_header())
    with pytest.raises(StudyRefusedError, match=message) as caught:
        check_pixel_header(make_header(**changes))
    assert caught.value.code == code
