"""The node beside a real Orthanc. Run by `make test-pacs`."""

import pydicom
import pytest
import requests

from tests.pacs.conftest import debian, new_uid

pytestmark = pytest.mark.pacs


def test_a_study_goes_in_by_dcmsend_and_its_answer_lies_beside_it(node, orthanc, write_study, tmp_path):
    study = new_uid()
    files = write_study(tmp_path / "in", study)
    orthanc.take(files)
    one = node(orthanc.address)
    debian("dcmsend", "-aec", "PECTL", "127.0.0.1", one.port, *files)
    one.wait_for("sent", study)
    assert orthanc.get("dicom-web/studies") != []
    assert len(orthanc.get("studies")) == 1
    assert len(orthanc.instances(study, "CT")) == len(files)
    [report] = orthanc.instances(study, "SR")
    assert 1 <= len(orthanc.instances(study, "OT")) <= 3
    all_of_it = len(files) + 1 + len(orthanc.instances(study, "OT"))
    wado = requests.get(f"{orthanc.web}/studies/{study}", timeout=60)
    assert wado.status_code == 200
    assert wado.content.count(b"Content-Type: application/dicom") == all_of_it
    [found] = orthanc.get(f"dicom-web/studies/{study}/instances", params={"SOPInstanceUID": report})
    series = found["0020000E"]["Value"][0]
    answer = requests.get(f"{orthanc.web}/studies/{study}/series/{series}/instances/{report}", timeout=60)
    (tmp_path / "sr.dcm").write_bytes(answer.content[answer.content.index(b"\r\n\r\n") + 4 :])
    shown = debian("dsrdump", tmp_path / "sr.dcm")
    assert shown.startswith("Comprehensive 3D SR Document")
    assert str(pydicom.dcmread(tmp_path / "sr.dcm").PatientID) == "P1"
