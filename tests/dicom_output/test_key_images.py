import shutil

import numpy as np
import pydicom
import pytest

from pectl.dicom_output.key_images import patient_orientation
from pectl.dicom_output.result import Kind
from pectl.dicom_output.write import write_dicom
from pectl.errors import StudyRefusedError
from tests.dicom_output.conftest import slice_uid

FACTOR = 11  # 48 rows become 528


@pytest.fixture
def write_images(write_original, make_result, tmp_path):
    def write(edit=lambda dataset: None, *, original=None, **changes) -> list[pydicom.Dataset]:
        kinds = [Kind.KEY_IMAGES]
        written = write_dicom(make_result(**changes), write_original(edit, **(original or {})), tmp_path / "out", kinds)
        return [pydicom.dcmread(path) for path in written.files]

    return write


@pytest.fixture(scope="session")
def images(written) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(written[f"key-images-{number}.dcm"]) for number in (1, 2)]


def test_grey_is_the_slice_where_there_is_no_heat(write_images) -> None:
    picture = write_images(original={"hu": lambda points: np.full(points.shape[:-1], 275.0)})[0].pixel_array
    assert picture.shape == (48 * FACTOR + 64, 64 * FACTOR, 3)
    assert picture.dtype == np.uint8
    cold = picture[30 * FACTOR : 32 * FACTOR, 30 * FACTOR : 50 * FACTOR]
    assert (cold == round(255 * (275 + 250) / 700)).all()


def test_heat_lies_where_it_is_on_the_slice(images) -> None:
    picture = images[0].pixel_array[: 48 * FACTOR].astype(int)
    redness = picture[..., 0] - picture[..., 2]
    row, column = np.unravel_index(redness.argmax(), redness.shape)
    assert (row // FACTOR, column // FACTOR) in {(10, 20), (11, 20)}
    assert (redness[30 * FACTOR :] == 0).all()


def test_research_use_is_in_the_pixels_below_the_slice(images) -> None:
    first, second = (image.pixel_array[48 * FACTOR :] for image in images)
    assert first.max() == 255
    assert (first[:4] == 0).all()
    assert (first[:30] == second[:30]).all()  # the same line of research use
    assert (first[30:] != second[30:]).any()  # another share of the peak
    assert 0.01 < (first[:30] > 128).mean() < 0.2


def test_no_heat_leaves_grey(write_images) -> None:
    picture = write_images(heat={}, key_images=(slice_uid(2),))[0].pixel_array
    assert (picture[..., 0] == picture[..., 2]).all()


def test_attributes(images) -> None:
    image = images[0]
    assert image.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert image.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert (image.PhotometricInterpretation, image.BitsStored) == ("RGB", 8)
    assert image.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert image.BurnedInAnnotation == "YES"
    assert image.SeriesDescription == "pectl key images, research use only, not for diagnosis"
    [source] = image.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == slice_uid(5)
    assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert image.PatientOrientation == ["L", "P"]
    assert "LossyImageCompression" not in image


def test_images_are_one_series_in_the_order_of_the_result(images) -> None:
    first, second = images
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)
    assert second.SourceImageSequence[0].ReferencedSOPInstanceUID == slice_uid(6)


def test_once_lossy_always_lossy(write_images) -> None:
    def lossy(dataset) -> None:
        dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", 12.5
        dataset.LossyImageCompressionMethod = "ISO_15444_1"

    image = write_images(lossy)[0]
    assert (image.LossyImageCompression, image.LossyImageCompressionRatio) == ("01", 12.5)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        ((1, 0, 0, 0, 1, 0), ("L", "P")),
        ((-1, 0, 0, 0, -1, 0), ("R", "A")),
        ((0, 1, 0, 0, 0, -1), ("P", "F")),
        ((0.1, -0.99, 0, 0, 0, 1), ("A", "H")),
    ],
)
def test_patient_orientation(orientation, expected) -> None:
    source = pydicom.Dataset()
    source.ImageOrientationPatient = list(orientation)
    assert patient_orientation(source) == expected


def test_letters_change_places_with_the_orientation(write_images, tmp_path) -> None:
    flipped = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    air = {"hu": lambda points: np.full(points.shape[:-1], -1000.0)}
    plain = write_images(heat={}, original=air)[0]
    shutil.rmtree(tmp_path / "out")
    mirrored = write_images(heat={}, original=air | {"orientation": flipped})[0]
    assert mirrored.PatientOrientation == ["R", "P"]
    left = slice(0, 40)
    assert (plain.pixel_array[:528, left] != mirrored.pixel_array[:528, left]).any()  # R against L
    assert (plain.pixel_array[:528, 300:400] == mirrored.pixel_array[:528, 300:400]).all()  # A above, P below


def test_truncated_pixels_are_refused(write_images) -> None:
    def truncated(dataset) -> None:
        dataset.PixelData = dataset.PixelData[:100]

    with pytest.raises(StudyRefusedError, match="bytes of pixel data"):
        write_images(truncated)


def test_dciodvfy_finds_nothing(written, judge) -> None:
    assert [judge(written[f"key-images-{number}.dcm"]) for number in (1, 2)] == [[], []]
