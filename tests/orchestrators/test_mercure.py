"""mercure: a flat folder with `task.json` and `.tags` in, flat objects and `result.json` with a notification out."""

import json
from pathlib import Path

import pydicom
import pytest

from pectl.errors import ConfigError, InputMissingError
from pectl.orchestrators.mercure import Mercure
from tests.orchestrators.conftest import SECRETS
from tests.orchestrators.test_contract import prediction


@pytest.fixture
def task(tmp_path, write_study):
    """Lay a task as mercure's processor does: every file renamed, its tags beside it, in and out ready."""

    def lay(study: str = "1.1", *, settings: dict | None = None, **more) -> dict[str, Path]:
        folders = {"MERCURE_IN_DIR": tmp_path / "in", "MERCURE_OUT_DIR": tmp_path / "out"}
        for folder in folders.values():
            folder.mkdir()
        write_study(tmp_path / "received", study, **more)
        for path in (tmp_path / "received").iterdir():
            header = pydicom.dcmread(path, stop_before_pixels=True)
            name = f"{header.SeriesInstanceUID}#{header.SOPInstanceUID}"
            path.rename(tmp_path / "in" / f"{name}.dcm")
            (tmp_path / "in" / f"{name}.tags").write_text(
                json.dumps({"PatientName": "Doe^Jane", "PatientID": "MRN-77"})
            )
        process = {"module_name": "pectl", "settings": settings or {}, "retain_input_images": False, "output": None}
        info = {"action": "both", "mrn": "MRN-77", "acc": "ACC-5", "patient_name": "Doe^Jane", "applied_rule": "chest"}
        (tmp_path / "in" / "task.json").write_text(json.dumps({"id": "t1", "info": info, "process": process}))
        return folders

    return lay


def result_of(folders: dict[str, Path]) -> dict:
    return json.loads((folders["MERCURE_OUT_DIR"] / "result.json").read_text())


def test_objects_lie_flat_under_names_that_the_next_module_reads(task, run_for, bundle):
    folders = task(settings={"dicom": "sr,kos", "other": 1})
    before = {path.name: path.read_bytes() for path in folders["MERCURE_IN_DIR"].iterdir()}
    result = run_for("mercure", PECTL_MODEL=bundle, PECTL_DICOM="heat", **folders)
    assert result.code == 0, result.err
    written = [path for path in folders["MERCURE_OUT_DIR"].iterdir() if path.name != "result.json"]
    headers = {path.name: pydicom.dcmread(path) for path in written}
    assert sorted(header.Modality for header in headers.values()) == ["KO", "SR"]
    for name, header in headers.items():
        assert name == f"{header.SeriesInstanceUID}#{header.SOPInstanceUID}.dcm"
        assert (header.StudyInstanceUID, header.PatientID, header.PatientName) == ("1.1", "MRN-77", "Doe^Jane")
    assert {path.name: path.read_bytes() for path in folders["MERCURE_IN_DIR"].iterdir()} == before


def test_the_notification_says_what_is_to_be_done_and_not_whose_it_is(task, run_for, bundle):
    folders = task()
    result = run_for("mercure", PECTL_MODEL=bundle, PECTL_DICOM="sr", **folders)
    told = result_of(folders)
    [study] = told["studies"]
    probability = study["answers"]["pe_present"]["probability"]
    note = told["__mercure_notification"]
    assert note["requested"] is True
    assert note["text"].startswith(f"PE flagged, probability {probability:.2f}")
    assert note["text"].endswith(". Research use only, not for diagnosis.")
    assert (study["study"], study["state"], study["dicom"]) == ("1.1", "flagged", {"sr": "written"})
    assert not study.keys() & {"images", "source", "arrived"}
    seen = (folders["MERCURE_OUT_DIR"] / "result.json").read_text() + result.out + result.err
    assert [word for word in SECRETS if word in seen] == []
    assert "1.1: PE flagged, probability" in result.out


def test_no_objects_unless_asked_for(task, run_for, calm_bundle):
    folders = task()
    assert run_for("mercure", PECTL_MODEL=calm_bundle, **folders).code == 0
    assert result_of(folders)["__mercure_notification"]["text"].startswith("no PE, probability 0.")
    assert [path.name for path in folders["MERCURE_OUT_DIR"].iterdir()] == ["result.json"]


def test_a_notification_is_asked_for_unless_there_is_nothing_to_look_at():
    quiet, loud = prediction("negative"), prediction("undecided")
    note = Mercure().more([quiet], ())["__mercure_notification"]
    assert note == {"text": "no PE, probability 0.93. Research use only, not for diagnosis.", "requested": False}
    note = Mercure().more([quiet, loud], ())["__mercure_notification"]
    assert note["requested"] is True
    assert note["text"].startswith("no PE, probability 0.93; PE undecided, probability 0.93. ")
    assert Mercure().more([quiet], {"1"})["__mercure_notification"]["requested"] is True


@pytest.mark.parametrize(("strict", "code"), [("0", 0), ("1", 3)])
def test_a_study_that_cannot_be_used_is_told_and_fails_the_task_only_if_asked(task, run_for, bundle, strict, code):
    folders = task(n_slices=5)
    result = run_for("mercure", PECTL_MODEL=bundle, PECTL_DICOM="sr", PECTL_STRICT=strict, **folders)
    assert result.code == code, result.err
    note = result_of(folders)["__mercure_notification"]
    assert note["requested"] is True
    assert note["text"].startswith("not read: too_few_slices (")
    assert [path.name for path in folders["MERCURE_OUT_DIR"].iterdir()] == ["result.json"]


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # the hashed UID that is written
def test_a_study_without_objects_is_told(task, run_for, calm_bundle):
    folders = task("0abc")
    result = run_for("mercure", PECTL_MODEL=calm_bundle, PECTL_DICOM="sr", **folders)
    assert result.code == 0, result.err
    note = result_of(folders)["__mercure_notification"]
    assert ", no DICOM objects. Research" in note["text"]
    assert note["requested"] is True


def test_an_empty_task_and_a_missing_variable_are_one_line(task, run_for, bundle):
    folders = task()
    for path in folders["MERCURE_IN_DIR"].glob("*.dcm"):
        path.unlink()
    result = run_for("mercure", PECTL_MODEL=bundle, **folders)
    assert result.code == 1
    assert "in: expected DICOM files or volumes, found none among 35 files" in result.err
    with pytest.raises(InputMissingError, match=r"MERCURE_IN_DIR: expected a variable with the path .* found nothing;"):
        Mercure().items({})
    with pytest.raises(InputMissingError, match=r"MERCURE_OUT_DIR: expected .* found no folder /nowhere; the orch"):
        Mercure().items({**{key: str(path) for key, path in folders.items()}, "MERCURE_OUT_DIR": "/nowhere"})


def test_settings_that_are_no_kinds(task, run_for, bundle):
    result = run_for("mercure", PECTL_MODEL=bundle, **task(settings={"dicom": "sr,pdf"}))
    assert result.code == 2
    assert "found 'pdf'" in " ".join(result.err.replace("\u2502", " ").split())


def test_settings_of_another_type(task):
    folders = task(settings={"dicom": ["sr"]})
    with pytest.raises(
        ConfigError, match=r"process, settings, dicom: expected words such as .* found list; change the"
    ):
        Mercure().kinds({key: str(path) for key, path in folders.items()})


@pytest.mark.parametrize("text", ["{}", '{"process": null}', '{"process": [{"settings": {"dicom": "sr"}}]}'])
def test_a_task_without_settings(tmp_path, text):
    (tmp_path / "task.json").write_text(text)
    assert Mercure().kinds({"MERCURE_IN_DIR": str(tmp_path)}) is None
