"""The node beside a real Orthanc. Run by `make test-pacs`."""

import json
import time
from pathlib import Path

import pydicom
import pytest
import requests
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless

from tests.pacs.conftest import Orthanc, debian, free_port, new_uid, running, until

pytestmark = pytest.mark.pacs
ROOT = Path(__file__).parents[2]


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
    (tmp_path / "sr.dcm").write_bytes(orthanc.file(report))
    shown = debian("dsrdump", tmp_path / "sr.dcm")
    assert shown.startswith("Comprehensive 3D SR Document")
    assert str(pydicom.dcmread(tmp_path / "sr.dcm").PatientID) == "P1"


def counts(node) -> dict[str, int]:
    return json.loads((node.out / "metrics.json").read_text())["counts"]


def recompress(path: Path, syntax: str | None) -> None:
    """Compress a file without loss, by dcmtk where it can."""
    if syntax == JPEGLosslessSV1:
        debian("dcmcjpeg", path, path)
    elif syntax == JPEGLSLossless:
        debian("dcmcjpls", path, path)
    elif syntax == JPEG2000Lossless:
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEG2000Lossless, JPEGLSLossless, None])
def test_orthanc_forwards_and_gets_the_answer_by_dicomweb(orthanc, write_study, tmp_path, node, syntax):
    study = new_uid()
    one = node(orthanc.web, port=orthanc.node_port)
    files = write_study(tmp_path / "in", study)
    for path in files:
        recompress(path, syntax)
    orthanc.take(files)
    for _ in range(2):  # the second time our own answer comes along
        orthanc.forward(study)
        one.wait_for("sent", study)
        until(lambda: not one.studies("received"), what="the study is closed")
    until(lambda: counts(one)["own_results_ignored"] >= 2, what="the numbers are written")
    assert one.studies("complete") == one.studies("predicted") == one.studies("failed") == []
    assert len(orthanc.get("studies")) == 1
    assert len(orthanc.instances(study, "CT")) == len(files)
    assert len(orthanc.instances(study, "SR")) == 1
    assert (counts(one)["studies_predicted"], counts(one)["studies_sent"]) == (1, 1)
    assert "Doe" not in one.log.read_text() + (one.out / "metrics.prom").read_text()


def test_the_lines_of_the_how_to_page(write_study, tmp_path, node):
    page = (ROOT / "docs/how-to/listen.md").read_text()
    (tmp_path / "send.lua").write_text(page.split("```lua\n")[1].split("```")[0])
    lines = json.loads("{" + page.split("```json\n")[1].split("```")[0] + "}")
    port = free_port()
    assert lines["DicomModalities"]["pectl"][2] == 11112  # as in the page's command
    lines["DicomModalities"]["pectl"][2] = port
    scripts = {"LuaScripts": [str(tmp_path / "send.lua")]}
    with running(Orthanc(tmp_path / "orthanc", port, **lines, **scripts)) as orthanc:
        study = new_uid()
        one = node(orthanc.address, "--allow", "ORTHANC@127.0.0.1", port=orthanc.node_port)
        orthanc.take(write_study(tmp_path / "in", study))
        one.wait_for("sent", study)
        until(
            lambda: counts(one)["own_results_ignored"] >= 2, 60, "the answer comes back, as the study is stable again"
        )
        time.sleep(10)
        assert counts(one)["studies_predicted"] == 1
        assert len(orthanc.instances(study, "SR")) == 1
