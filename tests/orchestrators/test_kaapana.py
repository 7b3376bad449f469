"""Kaapana: channels mounted where `processing-container.json` says, with its variables and its command."""

import json
from pathlib import Path

import pydicom
import pytest

from pectl.errors import InputMissingError
from pectl.orchestrators.kaapana import Kaapana
from tests.orchestrators.conftest import SECRETS

CONTAINER = Path(__file__).parents[2] / "containers" / "processing-container.json"
[TEMPLATE] = json.loads(CONTAINER.read_text())["templates"]


@pytest.fixture
def mounted(tmp_path, bundle) -> dict[str, str]:
    """Make the channels of the template below tmp_path; return its variables, moved there as well."""
    for channel in (*TEMPLATE["inputs"], *TEMPLATE["outputs"]):
        (tmp_path / channel["mounted_path"].lstrip("/")).mkdir(parents=True)
    models = tmp_path / "opt" / "pectl" / "models"
    models.mkdir(parents=True)
    (models / "model.pectl").write_bytes(bundle.read_bytes())
    moved = {one["name"]: one["value"] for one in TEMPLATE["env"]}
    return {name: f"{tmp_path}{value}" if value.startswith("/") else value for name, value in moved.items()}


def test_the_container_says_what_the_task_api_asks_for():
    declared = json.loads(CONTAINER.read_text())
    assert declared["api_version"] == 1
    assert {"name", "description", "templates"} <= declared.keys()
    assert {"identifier", "description", "inputs", "outputs", "env"} <= TEMPLATE.keys()
    channels = [*TEMPLATE["inputs"], *TEMPLATE["outputs"]]
    assert all(set(channel) <= {"name", "mounted_path", "description"} for channel in channels)
    assert all(isinstance(one["value"], str) for one in TEMPLATE["env"])
    paths = [channel["mounted_path"] for channel in channels]
    assert [one["value"] for one in TEMPLATE["env"] if one["name"].endswith("_CHANNEL")] == paths
    assert TEMPLATE["command"] == ["pectl", "predict-for", "kaapana"]


def test_each_item_has_its_answer_under_its_name(mounted, run_for, write_study):
    source, objects, results = (Path(mounted[f"PECTL_{name}_CHANNEL"]) for name in ("INPUT", "DICOM", "RESULT"))
    write_study(source / "1.1.7", "1.1", series="7")
    write_study(source / "1.1.8", "1.1", series="8")  # another series of the same study
    write_study(source / "1.2.1", "1.2", n_slices=5)
    result = run_for("kaapana", **mounted)
    assert result.code == 0, result.err
    told = {path.parent.name: json.loads(path.read_text())["studies"] for path in results.glob("*/result.json")}
    assert {item: [(one["series"], one["state"]) for one in studies] for item, studies in told.items()} == {
        "1.1.7": [("1.1.7", "flagged")],
        "1.1.8": [("1.1.8", "flagged")],
        "1.2.1": [("1.2.1", "refused")],
    }
    assert told["1.2.1"][0]["findings"][0]["code"] == "too_few_slices"
    assert sorted(path.name for path in objects.iterdir()) == ["1.1.7", "1.1.8"]
    for item in ("1.1.7", "1.1.8"):
        headers = [pydicom.dcmread(path) for path in (objects / item).iterdir()]
        assert {header.Modality for header in headers} == {"SR", "OT"}
        assert {(header.StudyInstanceUID, header.PatientID) for header in headers} == {("1.1", "MRN-77")}
        assert {f"{header.SOPInstanceUID}.dcm" for header in headers} == {p.name for p in (objects / item).iterdir()}
    assert [word for word in SECRETS if word in result.out + result.err + json.dumps(told)] == []


def test_an_item_without_a_study_fails_the_task_after_the_others_are_done(mounted, run_for, write_study):
    source = Path(mounted["PECTL_INPUT_CHANNEL"])
    (source / "0").mkdir()
    (source / "0" / "notes.txt").write_text("nothing")
    write_study(source / "1", "1.1")
    result = run_for("kaapana", **mounted)
    assert result.code == 1
    assert "input/0: expected DICOM files or volumes, found none among 1 files" in result.err
    assert (Path(mounted["PECTL_RESULT_CHANNEL"]) / "1" / "result.json").exists()


def test_a_channel_without_items(mounted):
    with pytest.raises(InputMissingError, match=r"kaapana/input: expected a folder for each item, found none; map the"):
        Kaapana().items(mounted)
