"""Volume files through the commands: beside DICOM, stated, refused by name, read for a model."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from pectl.cli.app import app
from pectl.config import Config, PreprocessConfig
from pectl.core.intake.tasks import Sources
from pectl.core.stores.study_store import StudyStore
from pectl.core.volumes.stated import Given, Stated
from pectl.dicom_output.result import Kind
from pectl.errors import InputMissingError
from pectl.inference.reading import find_studies, read, read_one_study
from pectl.steps.predicted.dicom import write_predicted
from pectl.steps.preprocess import preprocess
from pectl.steps.validate import validate
from tests.chests import chest_hu

CONFIG = Config(preprocess=PreprocessConfig(slice_spacing_mm=6.0, in_plane_px=48))
AFFINE = np.array([[-5.0, 0, 0, 190], [0, -5, 0, 140], [0, 0, 6, -120], [0, 0, 0, 1]])
"""RAS: the first axis to the left, the second to the back."""


def _chest() -> np.ndarray:
    i, j, k = np.meshgrid(np.arange(76), np.arange(56), np.arange(41), indexing="ij")
    points = np.stack([5.0 * i - 190, 5.0 * j - 140, 6.0 * k - 120], axis=-1)
    return np.rint(chest_hu(points)).astype(np.int16)


def _write(path: Path, values: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(_chest() if values is None else values, AFFINE)
    image.header["descrip"] = b"Doe^Jane 1950-01-01"
    nib.save(image, path)
    return path


def test_a_folder_of_dicom_and_volumes(tmp_path: Path, write_series) -> None:
    write_series(tmp_path / "set" / "dicom", study="1.2")
    _write(tmp_path / "set" / "PE1234ab.nii.gz")
    _write(tmp_path / "set" / "PA0001" / "image.nii")
    _write(tmp_path / "set" / "a" / "001.nii")
    _write(tmp_path / "set" / "b" / "001.nii.gz")
    np.savez(tmp_path / "set" / "table.npz", a=np.zeros(3))
    summary = preprocess(Sources((tmp_path / "set",)), tmp_path / "store", CONFIG, previews=True)
    assert [(one.study, one.outcome.code) for one in summary.verdicts] == [
        ("001", "repeated_id"),
        ("1.2", "accepted"),
        ("PA0001", "accepted"),
        ("PE1234ab", "accepted"),
    ]
    assert summary.refused[0].outcome.detail.startswith(
        "volume file: expected one file a study, found 2 of this id: .nii, .nii.gz; rename all but one"
    )
    assert sorted(fault.path.parent.name for fault in summary.faults if fault.code == "repeated_id") == ["a", "b"]
    store = StudyStore.open(tmp_path / "store")
    assert store.uids() == ["1.2", "PA0001", "PE1234ab"]
    assert store.studies["patient_group"].nunique() == 3
    assert (tmp_path / "store" / "previews" / "PE1234ab.jpg").exists()
    written = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert b"Doe" not in written
    assert b"1950-01-01" not in written


def test_what_is_stated_is_part_of_a_studys_identity(tmp_path: Path) -> None:
    _write(tmp_path / "set" / "a.nii.gz", ((_chest().clip(-1000, 600) + 1000) / 1600).astype(np.float32))

    def run(stated: Stated) -> tuple[str, int]:
        summary = validate(Sources((tmp_path / "set",), stated=stated), tmp_path / "out", CONFIG)
        return summary.verdicts[0].outcome.code, summary.n_reused

    assert run(Stated()) == ("scaled_values", 0)
    assert run(Stated()) == ("scaled_values", 1)
    assert run(Stated(values=(1600.0, -1000.0))) == ("accepted", 0)


def test_arrays_in_a_folder_count_with_a_spacing_alone(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    np.save(tmp_path / "set" / "7.npy", _chest().transpose(2, 1, 0))
    with pytest.raises(InputMissingError, match="NumPy arrays in a folder count with --spacing alone"):
        validate(Sources((tmp_path / "set",)), tmp_path / "none", CONFIG)
    named = validate(Sources((tmp_path / "set" / "7.npy",)), tmp_path / "named", CONFIG)
    assert named.verdicts[0].outcome.code == "no_spacing"
    stated = Stated(spacing_mm=(6.0, 5.0, 5.0))
    assert not validate(Sources((tmp_path / "set",), stated=stated), tmp_path / "out", CONFIG).verdicts[0].refused


def test_a_model_is_shown_what_the_store_holds(tmp_path: Path) -> None:
    path = _write(tmp_path / "one.nii.gz")
    preprocess(Sources((path,)), tmp_path / "store", CONFIG)
    tickets = find_studies(Given([path]), index=tmp_path / "index").tickets
    found = read(tickets[0], CONFIG.preprocess).study
    assert found is not None
    np.testing.assert_array_equal(found.hu, StudyStore.open(tmp_path / "store").read_study("one").hu)
    assert read_one_study(Given([path]), CONFIG.preprocess, model="m").study is not None


def test_a_volume_has_no_dicom_objects(tmp_path: Path) -> None:
    ticket = find_studies(Given([_write(tmp_path / "one.nii.gz")]), index=tmp_path / "index").tickets[0]
    made = write_predicted(None, None, ticket, tmp_path / "dicom", (Kind.SR,), None)  # type: ignore[arg-type]
    assert made.error == "no DICOM files: the study came from a volume file"
    assert not (tmp_path / "dicom").exists()


def test_a_missing_extra_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pectl.core.volumes.formats.find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["validate", str(_write(tmp_path / "Doe.nii.gz")), "--quiet"])
    assert str(result.exception) == (
        "NIfTI files (.nii.gz): expected the packages nibabel and isal, found not installed; "
        "pip install 'pectl[volumes]'"
    )


@pytest.mark.parametrize(("option", "text"), [("--spacing", "1,1"), ("--values", "x**2")])
def test_what_is_misstated_is_a_usage_error(option: str, text: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["validate", str(tmp_path), option, text])
    assert result.exit_code == 2
    assert repr(text) in result.output
