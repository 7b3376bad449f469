"""`pectl predict`, as a user runs it."""

import pytest

from pectl.bundle.unloaded import UnloadedBundle
from tests.tiny_instrument import tiny_instrument


@pytest.fixture
def predict(pectl, tmp_path, monkeypatch):
    """Run predict with a small model into the same folder; returns the result."""
    monkeypatch.setattr(UnloadedBundle, "open", lambda model: tiny_instrument(seen=("1.1",)))

    def run(*arguments):
        return pectl("predict", *arguments, "--model", "m.pectl", "--out", tmp_path / "out", "--device", "cpu")

    return run


def test_a_worklist_with_what_could_not_be_read(predict, write_series, tmp_path):
    write_series(tmp_path / "one", study="1.1", n_slices=34, size=(64, 64), pixel_spacing_mm=(6.0, 6.0))
    write_series(tmp_path / "two", study="1.2", n_slices=5, size=(64, 64), pixel_spacing_mm=(6.0, 6.0))
    (tmp_path / "list.txt").write_text(f"{tmp_path / 'two'}\n")
    result = predict(tmp_path / "one", "--list", tmp_path / "list.txt", "--strict")
    assert result.code == 3, result.err
    assert "not read 1.2: too_few_slices: " in result.out
    assert "the model was made with 1 of these studies, which says nothing of new ones: 1.1" in result.out
    assert "2 studies done, 0 there already; 0 flagged, 1 undecided, 1 not read, 0 without PE: " in result.out
    assert "Research use only, not for diagnosis." in result.out
    assert (tmp_path / "out" / "status.json").exists()
    again = predict(tmp_path / "one", "--quiet")
    assert again.code == 0, again.err
    assert "0 studies done, 1 there already; 0 flagged, 1 undecided, 1 not read, 0 without PE: " in again.out


def test_nothing_to_predict(predict, tmp_path):
    result = predict()
    assert result.code == 2
    assert "give folders, files or --list" in result.err
    (tmp_path / "empty").mkdir()
    result = predict(tmp_path / "empty")
    assert result.code == 1
    assert "expected DICOM files or volumes, found none among 0 files" in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # the hashed UID that is written below
def test_dicom_objects_and_who_has_none(predict, write_series, tmp_path):
    small = {"n_slices": 34, "size": (64, 64), "pixel_spacing_mm": (6.0, 6.0)}
    write_series(tmp_path / "in" / "one", study="1.1", **small)
    write_series(tmp_path / "in" / "two", study="0abc", **small)
    result = predict(tmp_path / "in", "--dicom", "kos,sr", "--quiet")
    assert result.code == 0, result.err
    assert "no DICOM objects of 0abc: expected a StudyInstanceUID of numbers and dots, found 0abc; give" in " ".join(
        result.err.split()
    )
    assert "1.1" not in result.err
    assert sorted(path.name for path in (tmp_path / "out" / "dicom" / "1.1").iterdir()) == ["kos.dcm", "sr.dcm"]


def test_a_kind_that_is_none_names_them_all(predict, tmp_path):
    result = predict(tmp_path, "--dicom", "sr,pdf")
    assert result.code == 2
    words = " ".join(result.err.replace("\u2502", " ").split())
    assert "expected some of sr, key-images, kos, heat, seg, found 'pdf'" in words
    assert not (tmp_path / "out").exists()
