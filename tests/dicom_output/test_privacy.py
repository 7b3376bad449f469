"""Whose study it is goes into the study's own objects, and nowhere else."""

import logging
import warnings
from pathlib import Path

import pydicom
import pytest

from pectl.dicom_output.result import Kind
from pectl.dicom_output.write import write_dicom
from pectl.errors import DicomOutputError
from tests.cli.markers import MARK, mark_file


@pytest.fixture(scope="module")
def marked(original, tmp_path_factory) -> list[Path]:
    """A series with a mark in every attribute that may identify someone; its name has one part."""
    paths, folder = [], tmp_path_factory.mktemp("marked")
    for path in original:
        target = folder / path.name
        mark_file(path, target, "P", everything=True)
        with pydicom.config.disable_value_validation():
            dataset = pydicom.dcmread(target)
            dataset.PatientName, dataset.ReferringPhysicianName = f"{MARK}name", f"{MARK}doctor"
            dataset.PatientBirthDate = f"{MARK}"  # no date
            dataset.SpecificCharacterSet = "ISO_IR 100"
            dataset.FrameOfReferenceUID = "1.2.3.9"
            dataset.save_as(target, enforce_file_format=False)
        paths.append(target)
    return paths


def test_nothing_but_the_objects_holds_it(marked, make_result, tmp_path, capfd, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        written = write_dicom(make_result(), marked, tmp_path / "out", list(Kind))
    said = capfd.readouterr()
    assert MARK not in said.out + said.err + caplog.text + "".join(str(remark.message) for remark in remarks)
    assert len(written.files) == 6
    assert {path for path in (tmp_path / "out").rglob("*") if path.is_file()} == set(written.files)
    assert MARK not in "".join(map(str, written.files))


def test_the_objects_hold_no_more_than_the_identity(marked, make_result, tmp_path) -> None:
    allowed = {
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "StudyID",
        "AccessionNumber",
        "ReferringPhysicianName",
        "StudyDescription",
        "IssuerOfPatientID",
        "PatientSex",
        "StudyTime",
    }
    for path in write_dicom(make_result(), marked, tmp_path / "out", list(Kind)).files:
        dataset = pydicom.dcmread(path)
        with pydicom.config.disable_value_validation():
            holding = {element.keyword for element in dataset.iterall() if MARK in str(element.value)}
        assert {"PatientName", "PatientID"} <= holding <= allowed
        assert MARK.encode() not in bytes(dataset.preamble)
        assert MARK not in str(dataset.file_meta)


def test_the_pixels_name_nobody(marked, written, make_result, tmp_path) -> None:
    """The same slice under two names is the same picture."""
    named = write_dicom(make_result(), marked, tmp_path / "named", [Kind.KEY_IMAGES])
    for path in named.files:
        assert pydicom.dcmread(path).PixelData == pydicom.dcmread(written[path.name]).PixelData


def test_an_error_tells_no_value(marked, make_result, tmp_path, capfd, caplog) -> None:
    paths = []
    for path in marked:
        with pydicom.config.disable_value_validation():
            dataset = pydicom.dcmread(path)
            dataset.add_new("PatientName", "PN", f"{MARK}ü".encode("latin-1"))
            dataset.SpecificCharacterSet = "ISO_IR 192"
            paths.append(tmp_path / path.name)
            dataset.save_as(paths[-1], enforce_file_format=False)
    with pytest.raises(DicomOutputError) as error:
        write_dicom(make_result(), paths, tmp_path / "out", [Kind.SR])
    said = capfd.readouterr()
    assert MARK not in str(error.value) + said.out + said.err + caplog.text
