"""Raw headers: the walk over the elements reads what pydicom reads, and leaves the unusual to it."""

import io
import logging
import tracemalloc
import warnings
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from pectl.core.dicom import tags as dicom_tags
from pectl.core.dicom.tags import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from pectl.errors import StudyRefusedError

WANTED = frozenset((0x0020000D, 0x00280010, 0x00080060, 0x00080008))
PIXELS = np.arange(64, dtype=np.uint16).tobytes()


def read_raw_header(path, wanted):
    with path.open("rb") as file:
        return dicom_tags.read_raw_header(file, wanted)


def write(path, syntax=EXPLICIT_LITTLE, *, nested="undefined", filler=0, pixels=PIXELS):
    dataset = Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = "1.2", "3.4"
    dataset.ImageType, dataset.Modality, dataset.StudyInstanceUID = ["ORIGINAL", "PRIMARY"], "CT", "1.2.3"
    dataset.Rows, dataset.Columns, dataset.BitsAllocated = 8, 8, 16
    dataset.PixelRepresentation = 0
    if nested:
        item = Dataset()
        item.StudyInstanceUID, item.Rows = "9.9", 77
        item.ReferencedImageSequence = Sequence([Dataset()])
        item.is_undefined_length_sequence_item = nested == "undefined"
        dataset.ReferencedSeriesSequence = Sequence([item, item])
        dataset["ReferencedSeriesSequence"].is_undefined_length = nested == "undefined"
    if filler:
        dataset.add_new(0x00091001, "OB", bytes(filler))
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OW"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


@pytest.fixture
def no_pydicom(monkeypatch):
    """The walk has to manage alone."""

    def fail(*args, **options):
        raise AssertionError

    monkeypatch.setattr("pydicom.dcmread", fail)


@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_LITTLE])
@pytest.mark.parametrize("nested", ["", "defined", "undefined"])
@pytest.mark.parametrize("filler", [0, 20_000, 200_000])
def test_the_walk_finds_values_and_pixels(tmp_path, no_pydicom, syntax, nested, filler):
    path = write(tmp_path / "a", syntax, nested=nested, filler=filler)
    raw = read_raw_header(path, WANTED)
    assert raw.transfer_syntax == syntax
    assert raw.values[0x0020000D].rstrip(b"\0") == b"1.2.3"
    assert raw.values[0x00280010] == b"\x08\x00"
    assert raw.values[0x00080008].strip() == b"ORIGINAL\\PRIMARY"
    assert raw.pixel_length == len(PIXELS)
    assert path.read_bytes()[raw.pixel_offset :] == PIXELS


@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_LITTLE])
def test_pydicom_reads_the_same_values(tmp_path, syntax):
    path = write(tmp_path / "a", syntax)
    with path.open("rb") as file:
        slow = dicom_tags._read_with_pydicom(file, WANTED)
    assert slow.values == read_raw_header(path, WANTED).values


@pytest.mark.parametrize("syntax", [DEFLATED, EXPLICIT_BIG])
def test_unusual_syntaxes_go_to_pydicom_and_numbers_come_back_little_endian(tmp_path, syntax):
    raw = read_raw_header(write(tmp_path / "a", syntax), WANTED)
    assert raw.transfer_syntax == syntax
    assert raw.values[0x00280010] == b"\x08\x00"
    assert raw.pixel_offset == 0


@pytest.mark.parametrize("cut", [128 + 4, 0])
def test_without_preamble(tmp_path, cut):
    """Cut off before the meta header, or with the preamble alone kept away."""
    path = write(tmp_path / "a", IMPLICIT_LITTLE, nested="")
    content = path.read_bytes()
    begin = content.index(b"\x08\x00\x08\x00") if cut == 0 else cut
    path.write_bytes(content[begin:])
    raw = read_raw_header(path, WANTED)
    assert raw.values[0x00080060].strip() == b"CT"


@pytest.mark.parametrize("content", [b"", b"DICM", b"a text file " * 30, bytes(400), b"\x08\x00" + bytes(20)])
def test_other_files_are_not_dicom(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert read_raw_header(tmp_path / "a", WANTED) is None


def read_or_refuse(path):
    try:
        return read_raw_header(path, WANTED)
    except StudyRefusedError as error:
        return error.code


def test_dicom_without_any_wanted_tag_is_none(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(write(tmp_path / "whole").read_bytes()[:132])
    assert read_raw_header(path, WANTED) is None


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError(5, "failing disk"), OSError, "failing disk"),
        (OSError("No tag to read"), StudyRefusedError, "found OSError in its header"),
        (KeyError("VR"), StudyRefusedError, "found KeyError in its header"),
    ],
)
def test_a_failing_disk_is_told_from_a_damaged_header(tmp_path, monkeypatch, error, kind, message):
    def fail(*args, **options):
        raise error

    path = write(tmp_path / "a", EXPLICIT_BIG)
    monkeypatch.setattr("pydicom.dcmread", fail)
    with pytest.raises(kind, match=message):
        read_raw_header(path, WANTED)


def test_every_truncation_ends_in_values_or_none(tmp_path):
    content = write(tmp_path / "whole").read_bytes()
    for length in range(0, len(content) - len(PIXELS), 7):
        (tmp_path / "a").write_bytes(content[:length])
        raw = read_or_refuse(tmp_path / "a")
        assert raw in (None, "damaged_header") or raw.pixel_length in (0, len(PIXELS))


def test_random_bytes_after_the_preamble(tmp_path):
    rng = np.random.default_rng(0)
    content = bytearray(write(tmp_path / "whole").read_bytes())
    for _ in range(300):
        damaged = content.copy()
        for at in rng.integers(132, len(content), 4):
            damaged[at] = rng.integers(256)
        (tmp_path / "a").write_bytes(damaged)
        raw = read_or_refuse(tmp_path / "a")
        assert raw in (None, "damaged_header") or raw.values


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_raw_header(tmp_path / "none", WANTED)


def test_quiet_pydicom_leaves_no_trace():
    before = logging.getLogger("pydicom").level
    with dicom_tags.quiet_pydicom():
        warnings.warn("invalid UID", UserWarning, stacklevel=1)
    with pytest.warns(UserWarning, match="loud"):
        warnings.warn("loud", UserWarning, stacklevel=1)
    assert logging.getLogger("pydicom").level == before


def test_a_deflated_bomb_is_inflated_no_further_than_a_header_reaches(tmp_path):
    path = write(tmp_path / "bomb", DEFLATED)
    content = path.read_bytes()
    at = content.index(DEFLATED.encode()) + len(DEFLATED)
    at += at % 2  # the end of the meta header
    element = b"\x09\x00\x10\x00OB\0\0" + (1 << 28).to_bytes(4, "little")  # a private one, of 256 MiB
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(element) + b"".join(packer.compress(bytes(1 << 24)) for _ in range(16)) + packer.flush()
    path.write_bytes(content[:at] + packed)
    tracemalloc.start()
    with pytest.raises(StudyRefusedError, match="expected a readable header"):
        read_raw_header(path, WANTED)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size < 1 << 20
    assert peak < 16 << 20


def test_what_inflate_made_without_pixels(tmp_path):
    content = write(tmp_path / "a", EXPLICIT_LITTLE).read_bytes()
    assert dicom_tags.find_pixels(content)[1] == len(PIXELS)
    beyond = content.replace(b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x11\x00OW")
    with pytest.raises(ValueError, match="no pixel data"):
        dicom_tags.find_pixels(beyond)


def test_compressed_pixel_data_has_no_length(tmp_path):
    path = write(tmp_path / "a")
    dataset = pydicom.dcmread(path)
    buffer = io.BytesIO()
    dataset.PixelData = pydicom.encaps.encapsulate([b"1234"])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    path.write_bytes(buffer.getvalue())
    raw = read_raw_header(path, WANTED)
    assert raw.pixel_length == dicom_tags.UNDEFINED_LENGTH
    assert raw.transfer_syntax == "1.2.840.10008.1.2.4.90"
