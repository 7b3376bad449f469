"""Files and headers: any name, any nesting, and what a slice says about itself."""

import pydicom
import pytest

from pectl.core.dicom.headers import find_files, is_safe_uid, read_header


@pytest.mark.parametrize("uid", ["1.2.840.113", "6897fa9de148", "A" * 64])
def test_safe_uids(uid):
    assert is_safe_uid(uid)


@pytest.mark.parametrize("uid", ["", ".", "..", "1..2", ".1", "a/b", "a\\b", "A" * 65, "1 2", "1\n", "ü"])
def test_unsafe_uids(uid):
    assert not is_safe_uid(uid)


def test_files_are_found_whatever_their_names_and_nesting(tmp_path):
    (tmp_path / "b" / "c").mkdir(parents=True)
    names = ["a file", "b/.hidden", "b/c/IM0001"]
    for name in names:
        (tmp_path / name).write_text("")
    assert list(find_files(tmp_path)) == [tmp_path / name for name in names]
    assert list(find_files(tmp_path / "a file")) == [tmp_path / "a file"]


def test_linked_folders_are_followed_once(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "data")
    assert list(find_files(tmp_path / "root")) == [tmp_path / "root" / "link" / "x"]


def test_a_header(tmp_path, write_series):
    def edit(dataset, place):
        dataset.ContrastBolusAgent = "IODINE"
        dataset.AcquisitionNumber = 3

    write_series(tmp_path, n_slices=1, size=(32, 48), pixel_spacing_mm=(0.5, 0.75), signed=True, edit=edit)
    header = read_header(tmp_path / "0000.dcm")
    assert (header.study_uid, header.series_uid, header.sop_uid) == ("1.2.3", "1.2.3.1", "1.2.3.1.0")
    assert header.position == pytest.approx((-0.75 * 47 / 2, -0.5 * 31 / 2, 0.0))
    assert header.orientation == (1, 0, 0, 0, 1, 0)
    assert (header.rows, header.columns, header.pixel_spacing_mm) == (32, 48, (0.5, 0.75))
    assert (header.slope, header.intercept, header.signed) == (1.0, -1024.0, True)
    assert (header.bits_allocated, header.bits_stored, header.samples, header.frames) == (16, 16, 1, 1)
    assert header.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert (header.modality, header.kernel, header.manufacturer) == ("CT", "B30f", "ACME")
    assert (header.contrast, header.acquisition, header.slice_thickness_mm) == (True, "3", 6.0)
    assert header.patient_id == "P1"
    assert header.pixel_length == 32 * 48 * 2


def test_what_is_missing_or_unreadable_is_none(tmp_path, write_series):
    def edit(dataset, place):
        for keyword in ("ImageType", "RescaleSlope", "PatientID", "Modality"):
            delattr(dataset, keyword)
        dataset.PixelSpacing = None
        dataset.ImagePositionPatient = [1.0, 2.0]
        dataset.RescaleIntercept = None

    write_series(tmp_path, n_slices=1, edit=edit)
    header = read_header(tmp_path / "0000.dcm")
    assert header.pixel_spacing_mm is header.position is header.slope is header.intercept is None
    assert (header.image_type, header.patient_id, header.modality) == ((), "", "")


@pytest.mark.parametrize("text", [b"nan", b"inf", b"9e9", b"abc"])
def test_positions_that_are_no_place_are_none(tmp_path, write_series, text):
    def edit(dataset, place):
        dataset.ImagePositionPatient = [111, 0, 0]

    write_series(tmp_path, n_slices=1, edit=edit)
    path = tmp_path / "0000.dcm"
    path.write_bytes(path.read_bytes().replace(b"111", text))
    assert read_header(path).position is None


@pytest.mark.parametrize(("signed", "stored"), [(True, -2000), (False, 63536)])
def test_padding_has_the_sign_of_the_pixels(tmp_path, write_series, signed, stored):
    def edit(dataset, place):
        dataset.add_new(0x00280120, "SS" if signed else "US", stored)

    write_series(tmp_path, n_slices=1, signed=signed, edit=edit)
    assert read_header(tmp_path / "0000.dcm").padding == stored


def test_the_kernel_is_a_short_code(tmp_path, write_series):
    def edit(dataset, place):
        dataset.ConvolutionKernel = ["Br38f", "3"]
        dataset.Manufacturer = "ACME <b>\x07" + "x" * 50

    write_series(tmp_path, n_slices=1, edit=edit)
    header = read_header(tmp_path / "0000.dcm")
    assert header.kernel == "Br38f"
    assert header.manufacturer == ("ACME b" + "x" * 50)[:32]


def test_invalid_uids_do_not_warn(tmp_path, write_series):
    """Warnings are errors here, and RSPECT's ids aren't valid UIDs."""
    with pytest.warns(UserWarning, match="Invalid value for VR UI"):
        write_series(tmp_path, n_slices=1, study="6897fa9de148")
    assert read_header(tmp_path / "0000.dcm").study_uid == "6897fa9de148"


def test_a_text_file_is_no_header(tmp_path):
    (tmp_path / "README").write_text("This folder holds DICOM files.\n" * 20)
    assert read_header(tmp_path / "README") is None


def test_pydicom_agrees(tmp_path, write_series):
    write_series(tmp_path, n_slices=2)
    for path in find_files(tmp_path):
        header, dataset = read_header(path), pydicom.dcmread(path)
        assert header.position == tuple(dataset.ImagePositionPatient)
        assert path.read_bytes()[header.pixel_offset :][: header.pixel_length] == dataset.PixelData
