"""What the judges of a PACS's makers say: dcmtk, dicom3tools and PixelMed. Run by `make test-pacs`."""

import os
from pathlib import Path

import pytest

from pectl.dicom_output.result import Answer, Call, Kind
from pectl.dicom_output.write import write_dicom
from tests.dicom_output.conftest import ANSWERS, judged

pytestmark = pytest.mark.pacs
OTHER = ANSWERS | {"pe_present": Answer(0.2, Call.ABSENT)}
NO_XPATH_LIMITS = " ".join(f"-Djdk.xml.xpath{name}=0" for name in ("TotalOpLimit", "ExprOpLimit", "ExprGrpLimit"))
"""PixelMed's validator dies on the limits that Java has had since 2022."""


@pytest.fixture(scope="module")
def replaced(original, make_result, tmp_path_factory) -> dict[str, Path]:
    """Every object by its file name; the report has a predecessor."""
    out = tmp_path_factory.mktemp("pacs")
    write_dicom(make_result(answers=OTHER), original, out, [Kind.SR])
    files = write_dicom(make_result(out_of_distribution="far"), original, out, list(Kind)).files
    return {path.name: path for path in files}


def test_dcmtk_reads_the_documents(replaced, program) -> None:
    report = program("dsrdump", replaced["sr.dcm"])
    assert report.startswith("Comprehensive 3D SR Document")
    assert '"Certainty of Finding")="93.12" (%,UCUM,"Percent")>' in report
    assert '"Laterality")=(24028007,SCT,"Right")' in report
    assert "Predecessor Docs    : 1" in report
    selection = program("dsrdump", replaced["kos.dcm"])
    assert selection.startswith("Key Object Selection Document")
    assert selection.count("<contains IMAGE:=(CT image,)>") == 2


def test_dcmtk_accepts_every_object(replaced, program) -> None:
    for path in replaced.values():
        assert "Test passed." in program("dcmpschk", path)


def test_dicom3tools_finds_patient_and_study_the_same_in_all(replaced, original, program) -> None:
    lines = program("dcentvfy", *replaced.values(), *original).splitlines()
    # dcentvfy takes AccessionNumber of images for one of the series; the values are the same
    by_design = "Different information entities for attribute - Element=<AccessionNumber>"
    assert [line for line in lines if by_design not in line] == []


def test_the_dciodvfy_of_debian_finds_no_error(replaced) -> None:
    for path in replaced.values():
        assert not [line for line in judged("/usr/bin/dciodvfy", path) if line.startswith("Error")]


@pytest.mark.parametrize(("name", "template"), [("sr.dcm", "TID_1500"), ("kos.dcm", "TID_2010")])
def test_pixelmed_recognises_the_template(replaced, program, monkeypatch, name, template) -> None:
    monkeypatch.setenv("_JAVA_OPTIONS", f"{os.environ.get('_JAVA_OPTIONS', '')} {NO_XPATH_LIMITS}")
    said = program("DicomSRValidator", replaced[name])
    assert f"Found Root Template {template}" in said
    assert "IOD validation complete" in said
    assert "Error" not in said
    warnings = [line for line in said.splitlines() if line.startswith("Warning")]
    assert all(line.endswith("Content Item not in template") for line in warnings)  # evaluations are ours to choose
