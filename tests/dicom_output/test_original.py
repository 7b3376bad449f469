"""Sources as they come: whose study it is arrives unchanged, or the error names what is wrong."""

import shutil

import pydicom
import pytest
from pydicom.config import disable_value_validation

from pectl.dicom_output.result import Kind
from pectl.dicom_output.write import write_dicom
from pectl.errors import DicomOutputError
from tests.dicom_output.conftest import slice_uid

WHOSE = {
    "PatientName": "Doe^Jane",
    "PatientID": "P1",
    "PatientBirthDate": "19500102",
    "PatientSex": "F",
    "StudyInstanceUID": "1.2.3",
    "StudyDate": "20200304",
    "StudyTime": "050607",
    "StudyID": "S7",
    "AccessionNumber": "A42",
    "ReferringPhysicianName": "Who^Doctor",
    "StudyDescription": "CT chest",
}
EVERY = list(Kind)


@pytest.fixture
def write(write_original, make_result, tmp_path):
    """Write all kinds from an edited series; return the datasets and what was skipped."""

    def write_all(edit=lambda dataset: None, kinds=EVERY, **changes):
        written = write_dicom(make_result(**changes), write_original(edit), tmp_path / "out", kinds)
        return written, [pydicom.dcmread(path) for path in written.files]

    return write_all


def test_patient_and_study_are_in_every_object_as_in_the_source(written) -> None:
    for dataset in map(pydicom.dcmread, written.values()):
        assert {keyword: str(dataset[keyword].value) for keyword in WHOSE} == WHOSE
        assert dataset.SpecificCharacterSet == "ISO_IR 192"


def test_no_more_than_that_is_copied(write) -> None:
    def tell(dataset) -> None:
        dataset.LastMenstrualDate, dataset.PatientAddress = "20200301", "Street 1"
        dataset.InstitutionName, dataset.OperatorsName = "Hospital", "Op^Erator"
        dataset.PatientComments, dataset.PatientAge = "tall", "070Y"

    told = ("Menstrual", "Street", "Hospital", "Erator", "tall", "070Y")
    assert not [word for dataset in write(tell)[1] for word in told if word in str(dataset)]


@pytest.mark.parametrize("edit", ["empty", "absent"])
def test_a_source_without_study_id_and_patient(write, judge, edit) -> None:
    def strip(dataset) -> None:
        for keyword in set(WHOSE) - {"StudyInstanceUID"}:
            if edit == "empty":
                setattr(dataset, keyword, None)
            else:
                delattr(dataset, keyword)

    written, datasets = write(strip)
    assert len(datasets) == 6
    for path, dataset in zip(written.files, datasets, strict=True):
        assert dataset.StudyID in (None, "")
        assert str(dataset.PatientName) == ""
        assert not [line for line in judge(path) if "DICOMDIR" not in line]


def test_a_name_of_one_part(write, judge) -> None:
    def name(dataset) -> None:
        dataset.PatientName = "Doe"

    written, datasets = write(name)
    assert {str(dataset.PatientName) for dataset in datasets} == {"Doe"}
    for path in written.files:
        assert not [line for line in judge(path) if not line.startswith("Warning")]


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192", None])
def test_umlauts(write, charset) -> None:
    def name(dataset) -> None:
        if charset is None:  # a common fault: Latin-1, and it isn't said
            dataset.add_new("PatientName", "PN", "Müller^Jürgen".encode("latin-1"))
        else:
            dataset.SpecificCharacterSet, dataset.PatientName = charset, "Müller^Jürgen"

    assert {str(dataset.PatientName) for dataset in write(name)[1]} == {"Müller^Jürgen"}


def test_japanese(write, judge) -> None:
    japanese = "Yamada^Tarou=山田^太郎=やまだ^たろう"

    def name(dataset) -> None:
        dataset.SpecificCharacterSet, dataset.PatientName = ["", "ISO 2022 IR 87"], japanese

    written, datasets = write(name)
    assert {str(dataset.PatientName) for dataset in datasets} == {japanese}
    assert [judge(path) for path in written.files] == [[]] * 6


def test_text_of_another_character_set_is_refused_without_being_told(write) -> None:
    def name(dataset) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.add_new("PatientName", "PN", "Müller^Jürgen".encode("latin-1"))

    with pytest.raises(DicomOutputError) as error:
        write(name)
    assert str(error.value) == (
        "study 1.2.3: expected text of the file's SpecificCharacterSet, found bytes that aren't of it in PatientName; "
        "correct it at its source"
    )


def test_a_date_that_is_none_stays_as_it_is(write) -> None:
    def date(dataset) -> None:
        dataset.PatientBirthDate = "1950"

    with disable_value_validation():
        assert {dataset.PatientBirthDate for dataset in write(date)[1]} == {"1950"}


def test_two_windows(write, judge) -> None:
    def windows(dataset) -> None:
        dataset.WindowCenter, dataset.WindowWidth = [40, -600], [400, 1500]

    written, datasets = write(windows)
    assert [judge(path) for path in written.files] == [[]] * 6
    assert all(item.get("WindowCenter") in (None, 32767.5) for item in datasets)


@pytest.mark.parametrize("frame_of_reference", ["1.2.3.9.{place}", None])
def test_no_common_frame_of_reference(write, frame_of_reference) -> None:
    def own(dataset) -> None:
        del dataset.FrameOfReferenceUID
        if frame_of_reference:
            dataset.FrameOfReferenceUID = frame_of_reference.format(place=dataset.InstanceNumber)

    written, _ = write(own)
    assert [path.name for path in written.files] == ["sr.dcm", "key-images-1.dcm", "key-images-2.dcm", "kos.dcm"]
    assert [(item.kind, item.code) for item in written.skipped] == [
        (Kind.HEAT, "no_common_frame_of_reference"),
        (Kind.SEG, "no_common_frame_of_reference"),
    ]
    assert written.skipped[0].reason == (
        f"its slices have {'3' if frame_of_reference else 'no'} FrameOfReferenceUID, and their positions share none"
    )


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_hashed_uids_are_refused(write, keyword) -> None:
    def hashed(dataset) -> None:
        setattr(dataset, keyword, "0123456789ab")

    expected = f"a {keyword} of numbers and dots, found 0123456789ab; give the study"
    with disable_value_validation(), pytest.raises(DicomOutputError, match=expected):
        write(hashed)


def test_text_in_the_place_of_a_uid_is_not_shown(write) -> None:
    def name(dataset) -> None:
        dataset.SOPInstanceUID = "Doe^Jane"

    expected = "a SOPInstanceUID of numbers and dots, found other text; give the study"
    with disable_value_validation(), pytest.raises(DicomOutputError, match=expected):
        write(name)


def test_a_slice_whose_place_is_elsewhere_is_refused(write) -> None:
    def enhanced(dataset) -> None:
        del dataset.ImagePositionPatient

    with pytest.raises(DicomOutputError, match="found one without ImagePositionPatient; give CT of that form"):
        write(enhanced)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_another_study_is_refused(write, keyword) -> None:
    with pytest.raises(DicomOutputError, match=rf"expected {keyword} 1\.2\.3.*, found 1\.9; give the files of the"):
        write(lambda dataset: setattr(dataset, keyword, "1.9"))


def test_several_frames_in_a_file_are_refused(write) -> None:
    with pytest.raises(DicomOutputError, match="expected a file for each slice, found several frames in one file"):
        write(lambda dataset: setattr(dataset, "NumberOfFrames", 2))


def test_a_slice_of_the_result_that_is_not_there_is_refused(write) -> None:
    with pytest.raises(DicomOutputError, match=r"found no file of 1\.2\.3\.1\.99; give all files"):
        write(key_images=(slice_uid(99),))


def test_no_file_is_refused(make_result, tmp_path) -> None:
    with pytest.raises(DicomOutputError, match="found no file; give all files"):
        write_dicom(make_result(), [], tmp_path, [Kind.SR])


def test_heat_of_another_matrix_is_refused(write, make_result) -> None:
    heat = {slice_uid(5): make_result().heat[slice_uid(5)].T}
    with pytest.raises(DicomOutputError, match=rf"heat of 48 x 64 pixels on slice {slice_uid(5)}, found 64 x 48; map"):
        write(heat=heat)


def test_a_slice_of_two_files_is_refused(original, make_result, tmp_path) -> None:
    paths = original
    copy = tmp_path / "copy.dcm"
    shutil.copy(paths[0], copy)
    with pytest.raises(DicomOutputError, match="a file for each slice, found a slice that has two; take the"):
        write_dicom(make_result(), [*paths, copy], tmp_path / "out", [Kind.SR])
