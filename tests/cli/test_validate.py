"""`pectl validate` as a user runs it: what it prints, writes, and how it ends."""

import errno
import json
import os
import shutil
import sys

import pandas as pd
import pytest


@pytest.fixture
def root(tmp_path, write_series):
    small = {"n_slices": 36, "size": (64, 64), "pixel_spacing_mm": (6, 6)}
    write_series(tmp_path / "dicom" / "1.1", study="1.1", **small)
    write_series(tmp_path / "dicom" / "1.2", study="1.2", **(small | {"n_slices": 8}))
    (tmp_path / "dicom" / "1.2" / "rest.dcm").write_text("rubbish")
    return tmp_path / "dicom"


def test_summary_rules_table_and_exit_codes(pectl, root, tmp_path):
    result = pectl("validate", root, "--out", tmp_path / "out", "--quiet")
    assert result.code == 0, result.err
    assert (
        "Series choice: axial CT (leaning 30 degrees at most), 16 slices or more; covers 150 mm or more;" in result.out
    )
    assert "Verdicts on 2 studies" in result.out
    assert "refused 1.2: too_few_slices: series choice:" in result.out
    assert f"2 studies, 1 refused: {tmp_path / 'out' / 'verdicts.csv'}. Research use only" in result.out
    assert result.err == "damaged_header: 1 files; run the command on a terminal to see which\n"
    table = pd.read_csv(tmp_path / "out" / "verdicts.csv")
    assert table.loc[table["code"] == "accepted", "study"].tolist() == [1.1]
    assert "rest.dcm" not in (tmp_path / "out" / "verdicts.json").read_text()
    assert pectl("validate", root, "--out", tmp_path / "out", "--strict", "--quiet").code == 3
    assert pectl("validate", root / "1.1", "--strict", "--quiet").code == 0


@pytest.mark.parametrize("command", ["validate", "preprocess"])
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_cannot_be_read_is_counted_and_strict_ends_so(pectl, root, tmp_path, monkeypatch, command, what):
    shutil.rmtree(root / "1.2")
    (root / "private").mkdir()
    (root / "1.1" / "beside.dcm").symlink_to(root / "nowhere")  # a file that can't be opened
    listing = os.scandir

    def scandir(folder):
        if str(folder).endswith("private"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
        return listing(folder)

    if what == "folder":
        (root / "1.1" / "beside.dcm").unlink()
        monkeypatch.setattr(os, "scandir", scandir)
    result = pectl(command, root, "--out", tmp_path / "out", "--quiet")
    assert result.code == 0, result.err
    assert result.err == f"unreadable_{what}: 1 {what}s; run the command on a terminal to see which\n"
    assert f"{int(what == 'folder')} refused, 1 files or folders not read: {tmp_path / 'out'}" in result.out
    assert pectl(command, root, "--out", tmp_path / "strict", "--strict", "--quiet").code == 3
    assert pectl(command, root / "1.1" / "0000.dcm", "--out", tmp_path / "one", "--quiet").code == 0


def write_studies(folder, write_series, count, patient):
    def edit(dataset, place):
        dataset.PatientID = patient

    for number in range(count):
        study = f"1.{100 + number}"
        write_series(folder / study, study=study, n_slices=1, size=(16, 16), edit=edit)
    return folder


@pytest.mark.parametrize("command", ["validate", "preprocess"])
def test_an_id_that_is_no_patients_is_said_once(pectl, tmp_path, write_series, command):
    root = write_studies(tmp_path / "many", write_series, 12, "SITE 7")
    result = pectl(command, root, "--out", tmp_path / "out", "--quiet")
    assert result.code == 0, result.err
    remark = "one PatientID in 12 of 12 studies: each of them counts as a patient of its own"
    assert result.out.count("shared_patient_id") == 1
    assert f"warning shared_patient_id: {remark}\n" in result.out
    kept = json.loads((tmp_path / "out" / "verdicts.json").read_text())
    assert kept["cohort"] == [{"code": "shared_patient_id", "level": "warning", "detail": remark}]
    assert "patient_in_several_studies" not in kept["codes"]
    assert "SITE" not in (tmp_path / "out" / "verdicts.json").read_text()


def test_studies_of_one_patient_alone_are_no_store_to_train_from(pectl, tmp_path, write_series):
    root = write_studies(tmp_path / "one", write_series, 8, "P7")
    result = pectl("preprocess", root, "--out", tmp_path / "out", "--quiet")
    assert result.code == 1
    assert "expected studies in train, val and test, each patient in one of them, found none for val and test" in (
        result.err
    )
    assert "8 studies of 1 patients by PatientID" in result.err
    whole = ("--set", "split.val_fraction=0", "--set", "split.test_fraction=0")
    assert pectl("preprocess", root, "--out", tmp_path / "out", "--quiet", *whole).code == 0


def test_a_terminal_is_told_which_files_cannot_be_used(pectl, root, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    result = pectl("validate", root, "--quiet")
    assert result.err == f"damaged_header: {root / '1.2' / 'rest.dcm'}\n"


def test_without_out_nothing_is_written(pectl, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    result = pectl("validate", root / "1.1", "--quiet")
    assert (result.code, sorted(tmp_path.rglob("*"))) == (0, before)
    assert "1 studies, 0 refused. Research use only" in result.out


def test_rules_follow_the_configuration(pectl, root):
    result = pectl(
        "validate",
        root / "1.2",
        "--quiet",
        "--set",
        "preprocess.min_slices=4",
        "--set",
        "preprocess.series.prefer=['slices']",
    )
    assert "Series choice: axial CT (leaning 30 degrees at most), 4 slices or more; most slices; lowest" in result.out


def test_a_share_that_is_not_the_last_says_so(pectl, root, tmp_path):
    result = pectl("validate", root, "--out", tmp_path / "out", "--shard", "1/40", "--quiet")
    assert result.code == 0
    assert "other shares aren't finished" in result.out
    assert not (tmp_path / "out" / "verdicts.csv").exists()


def test_bad_input_is_one_line(pectl, tmp_path):
    result = pectl("validate", tmp_path / "none", "--quiet")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "expected a folder, file, archive or DICOMDIR, found no such file or folder" in result.err
