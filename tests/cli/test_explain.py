"""`pectl explain`, as a user runs it: a study, a split, a DICOM folder."""

import json

import h5py
import pandas as pd
import pytest


@pytest.fixture
def explain(chain, pectl, tmp_path):
    """Run explain on a source with the tiny chain's runs; returns the result and the folder."""

    def run(source, *more):
        out = tmp_path / "out"
        runs = ("--stage1", chain.stage1, "--stage2", chain.tcn, "--device", "cpu", "--quiet")
        return pectl("explain", source, *runs, "--out", out, *more), out

    return run


def _uid(chain):
    return sorted(path.stem for path in (chain.store / "studies").glob("*.h5"))[0]


def test_one_study_of_a_store(chain, explain):
    uid = _uid(chain)
    result, out = explain(chain.store, "--study", uid, "--label", "central_pe", "--method", "layer-cam")
    assert result.code == 0, result.err
    assert f"explained {uid}" in result.out
    found = json.loads((out / uid / "explain.json").read_text())
    assert (found["study"], found["label"], found["method"]) == (uid, "central_pe", "layer-cam")
    labels = pd.read_csv(chain.labels, dtype=str)
    assert {row["SOPInstanceUID"] for row in found["slices"]} == set(
        labels["SOPInstanceUID"][labels["StudyInstanceUID"] == uid]
    )
    with h5py.File(out / uid / "heat.h5") as file:
        assert list(file["heat"].shape) == found["heat"]["shape"]
    for name in ("index.html", "overview.png", "slice_1.png", "heat.nii.gz"):
        assert (out / uid / name).stat().st_size > 0


def test_the_same_study_straight_from_dicom(chain, explain):
    uid = _uid(chain)
    result, out = explain(chain.dicom / uid)
    assert result.code == 0, result.err
    from_dicom = json.loads((out / uid / "explain.json").read_text())
    result, out = explain(chain.store, "--study", uid)
    from_store = json.loads((out / uid / "explain.json").read_text())
    assert from_dicom["exam_probability"] == pytest.approx(from_store["exam_probability"], abs=1e-6)
    assert from_dicom["peak"] is None or from_dicom["peak"]["point_mm"] == from_store["peak"]["point_mm"]


def test_a_split_is_scored_against_labels_and_a_phantoms_truth(chain, explain):
    result, out = explain(chain.store, "--split", "test", "--truth", chain.cohort / "truth")
    assert result.code == 0, result.err
    summary = json.loads((out / "summary.json").read_text())
    splits = pd.read_csv(chain.store / "splits.csv", dtype=str).set_index("StudyInstanceUID")["split"]
    assert set(summary["studies"]) == set(splits.index[splits == "test"])
    assert summary["statement"] in result.out
    assert summary["pointing_n"] == summary["n_positive"] > 0
    assert 0 < summary["pointing_random"] < 1
    assert 0 <= summary["pointing_hits"] <= summary["pointing_n"]
    assert summary["emboli_share_of_grid"] < summary["arteries_share_of_grid"] < 0.2


def test_truth_that_is_not_there_is_named(chain, explain, tmp_path):
    result, out = explain(chain.store, "--split", "test", "--truth", tmp_path)
    assert result.code == 1
    assert "expected the truth of a phantom" in result.err
    assert not (out / "summary.json").exists()


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--study", "nobody"], 1, "found nobody; choose one of 12"),
        (["--label", "cancer", "--study", "x"], 1, "expected one of pe_present"),
        (["--split", "holdout"], 1, "expected studies in the split 'holdout'"),
        (["--study", "x", "--split", "test"], 2, "give --study or --split, not both"),
        (["--study", "x", "--truth", "."], 2, "--truth goes with --split"),
    ],
)
def test_what_cannot_be_explained_is_refused(chain, explain, more, code, message):
    result, out = explain(chain.store, *more)
    assert result.code == code
    assert message in result.err
    assert not out.exists()
