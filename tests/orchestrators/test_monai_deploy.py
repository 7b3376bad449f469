"""MONAI Deploy: the folders of the variables of a MONAI Application Package."""

import json

import pydicom
import pytest

from tests.orchestrators.conftest import SECRETS


@pytest.fixture
def folders(tmp_path, bundle, write_study):
    """Lay a study below the input folder, and the model in a folder of its own below that of the models."""
    paths = {f"HOLOSCAN_{name}_PATH": tmp_path / name.lower() for name in ("INPUT", "OUTPUT", "MODEL")}
    paths["HOLOSCAN_OUTPUT_PATH"].mkdir()
    write_study(paths["HOLOSCAN_INPUT_PATH"] / "study" / "series", "1.1")
    (paths["HOLOSCAN_MODEL_PATH"] / "pe").mkdir(parents=True)
    (paths["HOLOSCAN_MODEL_PATH"] / "pe" / "model.pectl").write_bytes(bundle.read_bytes())
    return paths


def test_objects_and_a_json_lie_in_the_output_folder(folders, run_for):
    result = run_for("monai-deploy", PECTL_DICOM="sr,key-images", **folders)
    assert result.code == 0, result.err
    out = folders["HOLOSCAN_OUTPUT_PATH"]
    headers = {path.name: pydicom.dcmread(path) for path in out.glob("*.dcm")}
    assert {header.Modality for header in headers.values()} == {"SR", "OT"}
    assert headers.keys() == {f"{header.SOPInstanceUID}.dcm" for header in headers.values()}
    assert {header.StudyInstanceUID for header in headers.values()} == {"1.1"}
    told = json.loads((out / "result.json").read_text())
    assert told.keys() == {"use", "studies"}
    assert told["studies"][0]["state"] == "flagged"
    assert len(list(out.iterdir())) == len(headers) + 1
    assert [word for word in SECRETS if word in json.dumps(told) + result.out + result.err] == []


def test_the_model_may_be_the_file_itself_and_pectls_own_variable_goes_first(folders, run_for, calm_bundle):
    result = run_for("monai-deploy", PECTL_MODEL=calm_bundle, **folders)
    assert result.code == 0, result.err
    told = json.loads((folders["HOLOSCAN_OUTPUT_PATH"] / "result.json").read_text())
    assert told["studies"][0]["state"] == "negative"
