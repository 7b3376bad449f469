"""`pectl validate` as a user runs it: what it prints, writes, and how it ends."""

import errno
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
