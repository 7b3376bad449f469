"""Fakes of public sets through `preprocess --layout`: what the store holds, and what is said and refused."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from scipy.io import savemat
from typer.testing import CliRunner

from pectl.cli.app import app
from pectl.core.layouts.known import LAYOUTS, TESTED
from pectl.core.places.truth import TruthFolder
from pectl.core.stores.study_store import StudyStore
from tests.chests import chest_hu
from tests.core.layouts import sets

AFFINE = np.array([[-5.0, 0, 0, 190], [0, -5, 0, 140], [0, 0, 6, -120], [0, 0, 0, 1]])
N, SIZE = 36, 64


def write_chest(path: Path) -> None:
    i, j, k = np.meshgrid(np.arange(76), np.arange(56), np.arange(41), indexing="ij")
    points = np.stack([5.0 * i - 190, 5.0 * j - 140, 6.0 * k - 120], axis=-1)
    nib.save(nib.Nifti1Image(np.rint(chest_hu(points)).astype(np.int16), AFFINE), path)


@pytest.fixture
def preprocess(tmp_path):
    """Run the command on a set."""

    def run(root: Path, *more: object, out: str = "store"):
        small = ("--set", "preprocess.in_plane_px=48", "--set", "preprocess.slice_spacing_mm=6")
        arguments = ("preprocess", root, "--out", tmp_path / out, *small, *more)
        return CliRunner().invoke(app, list(map(str, arguments)))

    return run


def said_by(done) -> str:
    """All that a command said, its error too, as one line."""
    return " ".join(f"{done.output} {done.exception or ''}".replace("│", " ").split())


@pytest.fixture(scope="module")
def inspect(tmp_path_factory):
    return sets.fake_inspect(tmp_path_factory.mktemp("inspect"), image=write_chest)


def test_inspect_with_its_own_split_patients_and_columns(inspect, preprocess, tmp_path):
    cut = inspect / "CTPA" / "PE000002a.nii.gz"
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])  # as in downloads that broke off
    try:
        done = preprocess(inspect, "--layout", "auto", "--set", "split.method=released")
    finally:
        cut.write_bytes(whole)
    assert done.exit_code == 0, done.output
    refused = pd.read_csv(tmp_path / "store" / "refused.csv", dtype=str)
    assert refused[["study", "code"]].to_numpy().tolist() == [["PE000002a", "truncated_pixel_data"]]
    done = preprocess(inspect, "--layout", "auto", "--set", "split.method=released", out="whole")
    assert done.exit_code == 0, done.output
    said = said_by(done)
    assert "INSPECT v2: inspect0/CTPA beside labels_*.tsv and study_mapping_*.tsv" in said
    assert "2 studies whose flags contradict each other; labels unknown: PE000006a, PE000007a" in said
    assert "1 studies of the tables without a file in CTPA/: PE000005a" in said
    store = StudyStore.open(tmp_path / "whole")
    assert store.uids() == [name for name in sets.INSPECT if name != "PE000005a"]
    assert store.uids("val") == ["PE000002a"]
    studies = store.studies
    assert studies.loc["PE000004a", ["negative_exam_for_pe", "chronic_pe"]].tolist() == [0, 1]
    assert studies.loc["PE000006a", "negative_exam_for_pe":"rv_lv_ratio_lt_1"].isna().all()
    assert studies.loc["PE000003a", "patient_group"] == studies.loc["PE000004a", "patient_group"] == "PE000003a"
    assert studies.loc["PE000003a", ["provenance", "subgroup", "manufacturer"]].tolist() == [
        "rsna",
        "subsegmental PE alone",
        "GE MEDICAL",
    ]
    assert (store.read_study("PE000001a").source.label == -1).all()  # no label of images is given
    table = pd.read_csv(store.path / "set.csv", dtype=str).set_index("code")
    assert table.loc["repeated_labels", ["times", "examples"]].tolist() == ["2", "1 8"]


def test_a_file_without_a_released_split_is_told_before_any_study_is_read(inspect, preprocess, tmp_path):
    more = inspect / "CTPA" / "PE00000ff.nii.gz"
    more.write_bytes((inspect / "CTPA" / "PE000001a.nii.gz").read_bytes())
    try:
        done = preprocess(inspect, "--layout", "inspect", "--set", "split.method=released")
    finally:
        more.unlink()
    assert done.exit_code == 1
    assert "1 files in CTPA/ that no table names: PE00000ff" in said_by(done)
    assert "found none for 1 studies, such as PE00000ff; move their files away, or take another method" in said_by(done)
    assert not (tmp_path / "store" / "studies").exists()


def test_other_labels_of_the_set_are_not_mixed_into_a_store(inspect, preprocess, tmp_path):
    assert preprocess(inspect, "--layout", "inspect").exit_code == 0
    labels = next(inspect.glob("labels_*.tsv"))
    newer = labels.with_name("labels_20260101.tsv")
    newer.write_text(labels.read_text().replace("1\t1\t0", "0\t0\t0"))
    try:
        again = preprocess(inspect, "--layout", "inspect")
    finally:
        newer.unlink()
    assert again.exit_code == 1
    assert "labels with digest" in said_by(again)


def test_fumpe_with_names_against_positions(preprocess, tmp_path, write_series):
    root = tmp_path / "FUMPE"
    for number in (1, 2, 3, 4):
        folder = root / "CT_scans" / f"PAT00{number}"
        uids = write_series(folder, study=f"1.{number}", n_slices=N, size=(SIZE, SIZE), pixel_spacing_mm=(6.0, 6.0))
        by_uid = {str(pydicom.dcmread(path).SOPInstanceUID): path for path in folder.iterdir()}
        for place, uid in enumerate(uids):
            by_uid[uid].rename(folder / f"D{N - place:04d}.dcm")
    mask = np.zeros((N, SIZE, SIZE), np.uint8)
    mask[16:18, 27:29, 32:34] = 1  # from the feet, in the heart
    (root / "GroundTruth").mkdir()
    for number, one in ((1, mask), (2, mask), (3, np.zeros_like(mask))):
        savemat(root / "GroundTruth" / f"PAT00{number}.mat", {"Mask": np.moveaxis(one[::-1], 0, 2)})
    done = preprocess(root, "--layout", "fumpe")
    assert done.exit_code == 0, done.output
    assert "1 patients without a mask; labels unknown: PAT004" in said_by(done)
    store = StudyStore.open(tmp_path / "store")
    assert store.studies["negative_exam_for_pe"].tolist()[:3] == [0, 0, 1]
    assert np.isnan(store.studies.loc["1.4", "negative_exam_for_pe"])
    study = store.read_study("1.1")
    assert np.flatnonzero(study.source.label == 1).tolist() == [16, 17]
    assert TruthFolder.open(store.path).read("1.1").embolus.any()
    emboli = pd.read_csv(store.path / "emboli.csv", dtype={"StudyInstanceUID": str})
    assert emboli["StudyInstanceUID"].tolist() == ["1.1", "1.2"]
    assert store.studies["patient_group"].tolist() == ["1.1", "1.2", "1.3", "1.4"]


def test_aida_takes_the_thin_axial_series_of_each_exam_and_no_outline(preprocess, tmp_path, write_series):
    root = sets.fake_aida(tmp_path / "AIDA", write_series, size=SIZE)
    done = preprocess(root, "--layout", "aida")
    assert done.exit_code == 0, done.output
    assert "1 volumes that aren't DICOM, perhaps outlines, which aren't read: exam1/outlines/lesion.nrrd" in said_by(
        done
    )
    store = StudyStore.open(tmp_path / "store")
    assert store.studies["series_uid"].to_dict() == {"1.1": "1.1.2", "1.2": "1.2.2"}
    assert store.studies["n_source_slices"].tolist() == [72, 72]
    verdicts = pd.read_csv(store.path / "verdicts.csv", dtype=str).set_index(["study", "code"])["detail"]
    assert set(verdicts.index.get_level_values("study")) == {"1.1", "1.2"}
    assert "before 1.1.1 by slices" in verdicts["1.1", "accepted"]
    assert "1.1.4 by no_projection" in verdicts["1.1", "accepted"]
    assert "left out: 40 not_axial" in verdicts["1.1", "accepted"]


def test_what_does_not_fit_is_one_line_and_leaves_nothing(inspect, preprocess, tmp_path):
    def refused(text: str, *more: object) -> None:
        done = preprocess(*more)
        assert done.exit_code in (1, 2)
        assert text in said_by(done)
        assert not (tmp_path / "store").exists()

    refused("expected files of one set, found no files that only one set has", tmp_path, "--layout", "auto")
    refused("expected one of inspect, radfusion", inspect, "--layout", "kaggle")
    labels = sets.write(tmp_path / "labels.csv", "")
    refused("INSPECT v2 has labels of its own; leave out --labels", inspect, "--layout", "auto", "--labels", labels)
    refused("expected the folder of one set with --layout, found 2", inspect, inspect, "--layout", "auto")
    done = preprocess(inspect / "CTPA", "--set", "split.method=released")
    assert "expected a set that releases a split, for every study, found a set without one, or no --layout" in said_by(
        done
    )
    assert not (tmp_path / "store" / "studies").exists()


def test_the_list_of_sets():
    done = CliRunner().invoke(app, ["layouts"])
    assert done.exit_code == 0
    assert "fumpe: FUMPE" in done.output
    assert "No set could be had" in done.output


def test_the_list_of_sets_as_json():
    done = CliRunner().invoke(app, ["layouts", "--json"])
    assert done.exit_code == 0
    found = json.loads(done.output)
    assert found["use"] == "research use only, not for diagnosis"
    assert found["tested"] == TESTED
    assert [one["name"] for one in found["layouts"]] == list(LAYOUTS)
    read = next(one for one in found["layouts"] if one["name"] == "read")
    assert read == {
        "name": "read",
        "title": "READ",
        "source": "figshare, described in Scientific Data 2023;10:518",
        "licence": "CC0",
        "gives": "a mask by study: PE by image and study, sizes",
        "traps": list(LAYOUTS["read"].traps),
    }
