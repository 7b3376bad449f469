"""`pectl explain`, as a user runs it: a study, a split, a DICOM folder."""

import json
import os
import shutil

import h5py
import nibabel as nib
import nrrd
import numpy as np
import pandas as pd
import pydicom
import pytest
import torch

from pectl.config import load_config
from pectl.core.dicom.tags import quiet_pydicom
from pectl.core.intake.tasks import Sources
from pectl.core.places.source import PlacesSource
from pectl.core.places.truth import read_truth
from pectl.core.stores.study_store import StudyStore
from pectl.steps.chain import load_chain
from pectl.steps.preprocess import preprocess


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
    for name, answer in from_dicom["exam"].items():
        assert answer["probability"] == pytest.approx(from_store["exam"][name]["probability"], abs=1e-6)
    assert from_dicom["peak"] is None or from_dicom["peak"]["point_mm"] == from_store["peak"]["point_mm"]


@pytest.fixture
def two_tested(chain, tmp_path):
    """The chain's store with one test study with PE and one without: each that is explained takes a second."""
    store = tmp_path / "store"
    shutil.copytree(chain.store, store, copy_function=os.link)
    splits = pd.read_csv(store / "splits.csv", dtype=str).set_index("StudyInstanceUID")
    labels = pd.read_csv(chain.labels, dtype=str).drop_duplicates("StudyInstanceUID").set_index("StudyInstanceUID")
    tested = splits.index[splits["split"] == "test"]
    again = tested[labels.loc[tested, "negative_exam_for_pe"].duplicated()]
    splits.loc[again, "split"] = "val"
    (store / "splits.csv").unlink()
    splits.to_csv(store / "splits.csv")
    return store


def test_a_split_is_scored_against_labels_and_a_phantoms_truth(chain, two_tested, pectl, tmp_path):
    out = tmp_path / "out"
    runs = ("--stage1", chain.stage1, "--stage2", chain.tcn, "--device", "cpu", "--out", out)
    result = pectl("explain", two_tested, *runs, "--split", "test", "--truth", chain.cohort / "truth")
    assert result.code == 0, result.err
    for text in ("random position", "brightest vessel", "Peak in a slice", "AUROC of slice heat", "Share of heat in"):
        assert text in result.out
    summary = json.loads((out / "summary.json").read_text())
    splits = pd.read_csv(two_tested / "splits.csv", dtype=str).set_index("StudyInstanceUID")["split"]
    assert set(summary["studies"]) == set(splits.index[splits == "test"])
    assert summary["statement"] in result.out
    measures = summary["measures"]
    assert measures["pointing_game"]["n"] == measures["peak_in_pe_slice"]["n"] == summary["n_positive"] > 0
    assert 0 < measures["pointing_game"]["baselines"]["random_lung"]["value"] < 1
    emboli, arteries = (
        measures[f"heat_in_{name}"]["baselines"]["random_lung"]["value"] for name in ("emboli", "arteries")
    )
    assert 0 < emboli < arteries < 0.3
    page = (out / "index.html").read_text()
    assert summary["statement"].replace("'", "&#39;") in page
    assert all(f'href="{uid}/index.html"' in page for uid in summary["studies"])
    check_froc(out, summary, result.out)
    one, other = (out / uid for uid in list(summary["studies"])[:2])
    kept = (one / "index.html").stat().st_mtime_ns
    (other / "index.html").unlink()  # as if it had been stopped there
    again = pectl("explain", two_tested, *runs, "--split", "test", "--truth", chain.cohort / "truth", "--quiet")
    assert again.code == 0, again.err
    assert (one / "index.html").stat().st_mtime_ns == kept
    assert (other / "index.html").exists()
    assert json.loads((out / "summary.json").read_text()) == summary
    changed = pectl("explain", two_tested, *runs, "--split", "test", "--quiet")
    assert changed.code == 0, changed.err
    assert (one / "index.html").stat().st_mtime_ns != kept
    check_no_masks(out)


def test_heat_of_rv_lv_is_measured_by_the_ventricles_of_phantoms(chain, two_tested, pectl, tmp_path):
    out = tmp_path / "out"
    runs = ("--stage1", chain.stage1, "--stage2", chain.tcn, "--device", "cpu", "--out", out)
    asked = ("--split", "test", "--truth", chain.cohort, "--label", "rv_lv_ratio_gte_1")
    result = pectl("explain", two_tested, *runs, *asked)
    assert result.code == 0, result.err
    assert "100 % is the study's own peak: heat of different studies doesn't compare" in result.out  # untrained
    summary = json.loads((out / "summary.json").read_text())
    assert summary["heat_scale"] is None
    near, share = (summary["measures"][name] for name in ("peak_near_ventricle", "heat_in_ventricles"))
    assert near["n"] == share["n"] == summary["n_positive"] > 0
    assert 0 < share["baselines"]["random_lung"]["value"] < near["baselines"]["random_lung"]["value"] < 1
    assert 0 < share["value"] < 1
    assert "within 10 mm of a ventricle in" in summary["statement"]
    page = (out / "index.html").read_text()
    for text in ("Peak within 10 mm of a ventricle", "Share of heat in ventricles", "slices that hold a ventricle"):
        assert text in page
    assert "chronic embolus" not in page


def check_froc(out, summary, said):
    froc, marks = summary["froc"], pd.read_csv(out / "marks.csv", dtype={"StudyInstanceUID": str})
    assert (froc["n_scans"], froc["n_marks"]) == (len(summary["studies"]), len(marks))
    assert set(marks["StudyInstanceUID"]) <= set(summary["studies"])
    assert froc["n_emboli"] == sum(block["n_emboli"] for name, block in froc["groups"].items() if "mm3" in name) > 0
    assert f"{froc['n_emboli']} emboli: mean share marked at 0.125 to 8 false marks per scan, within 0 mm 0." in said
    assert froc["within"]["5"]["n_hit"] >= froc["within"]["0"]["n_hit"]
    assert "sensitivity against false marks" in (out / "index.html").read_text()
    assert all((out / name).stat().st_size > 0 for name in ("advantage.png", "froc.png"))


def check_no_masks(out):
    summary = json.loads((out / "summary.json").read_text())
    assert ("pointing_game" in summary["measures"], summary["froc"]) == (False, None)
    assert not (out / "marks.csv").exists()


@pytest.fixture
def masked(chain, tmp_path):
    """A store of the chain's DICOM files without a labels table, whose phantoms' emboli a set gives as NIfTI masks."""
    places = {}
    for path in sorted((chain.cohort / "truth").glob("*.npz")):
        with np.load(path) as data:
            affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ data["affine"]  # LPS to RAS
            nib.save(nib.Nifti1Image(data["embolus"].astype(np.uint8), affine), tmp_path / f"{path.stem}.nii.gz")
        places[path.stem] = PlacesSource("volume", tmp_path / f"{path.stem}.nii.gz")
    config = load_config(chain.config, [])
    preprocess(Sources((chain.dicom,), places=places), tmp_path / "masked", config)
    return tmp_path / "masked"


def test_heat_is_scored_on_masks_of_a_set_as_on_phantoms(chain, masked, explain):
    labels = pd.read_csv(chain.labels, dtype=str).set_index(["StudyInstanceUID", "SOPInstanceUID"])
    uid = labels.index[labels["pe_present_on_image"] == "1"][0][0]
    source = StudyStore.open(masked).read_study(uid).source
    present = labels.loc[uid, "pe_present_on_image"].astype(int).loc[source.sop_instance_uid].to_numpy()
    assert (source.label[source.label >= 0] == present[source.label >= 0]).mean() > 0.9
    measures, froc = [], []
    for truth in (chain.cohort / "truth", masked):
        result, out = explain(chain.store, "--study", uid, "--truth", truth)
        assert result.code == 0, result.err
        found = json.loads((out / uid / "explain.json").read_text())
        measures.append(found["measures"])
        froc.append(found["froc"])
    phantom, real = measures
    assert phantom.keys() - real.keys() == {"heat_in_arteries"}  # the set marks no arteries
    assert real["pointing_game"]["heat"] == phantom["pointing_game"]["heat"]
    assert real["heat_in_emboli"]["heat"] == pytest.approx(phantom["heat_in_emboli"]["heat"], abs=1e-6)
    assert 0 < real["heat_in_emboli"]["random_lung"] < 0.2
    assert 0 < real["pointing_game"]["random_lung"] < 1
    sizes = [sorted(one["volume_mm3"] for one in study["emboli"]) for study in froc]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-4)  # DICOM rounds the pixel spacing
    again, _ = explain(masked, "--study", uid, "--truth", masked / "places")
    assert again.code == 0, again.err
    refused, _ = explain(masked, "--study", uid, "--truth", chain.store)
    assert refused.code == 1
    assert (
        "expected a folder of truth, found no such folder; give a store that preprocess made with masks" in refused.err
    )


def write_nrrd(path, values, affine):
    """Write (D, H, W) as CAD-PE has it: columns first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {
        "space": "left-posterior-superior",
        "space directions": affine[:3, [2, 1, 0]].T,
        "space origin": affine[:3, 3],
        "encoding": "gzip",
    }
    nrrd.write(str(path), values.transpose(2, 1, 0), header)


def upright_hu(folder, uids):
    """Read slices of a phantom in this order, (D, H, W), as its truth lies."""
    with quiet_pydicom():
        slices = {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, folder.rglob("*.dcm"))}
        planes = []
        for one in map(slices.__getitem__, uids):
            (right, *_), (_, down, _) = one.ImageOrientationPatient[:3], one.ImageOrientationPatient[3:]
            planes.append(one.pixel_array[:: int(down), :: int(right)] * one.RescaleSlope + one.RescaleIntercept)
    return np.rint(planes).astype(np.int16)


@pytest.fixture
def cad_pe(chain, tmp_path):
    """Two of the chain's studies as two of those that CAD-PE's challenge tested on: 021 with PE, 022 without."""
    root, wanted = tmp_path / "CAD-PE", {True: "021", False: "022"}
    for path in sorted((chain.cohort / "truth").glob("*.npz")):
        truth = read_truth(path)
        if name := wanted.pop(bool(truth.embolus.any()), None):
            with np.load(path) as data:
                hu = upright_hu(chain.dicom / path.stem, data["sop_instance_uid"].tolist())
            write_nrrd(root / "images" / f"{name}.nrrd", hu, truth.affine)
            write_nrrd(root / "rs" / f"0{name}RefStd.nrrd", truth.numbered().astype(np.uint8) * 2, truth.affine)
    return root


def test_cad_pe_from_its_files_to_heat_judged_by_its_masks(chain, cad_pe, pectl, explain, tmp_path):
    store, shared = tmp_path / "store", ("--config", chain.config, "--quiet")
    made = pectl("preprocess", cad_pe, "--layout", "auto", "--out", store, *shared, "--set", "split.method=released")
    assert made.code == 0, made.err
    assert "CAD-PE: images/ beside rs/*RefStd.nrrd" in made.out
    emboli = pd.read_csv(store / "emboli.csv", dtype={"StudyInstanceUID": str})
    truths = map(read_truth, sorted((chain.cohort / "truth").glob("*.npz")))
    truth = next(one for one in truths if one.embolus.any())
    sizes_mm3 = np.bincount(truth.numbered().ravel())[1:] * truth.spacing_mm.prod()
    assert emboli["StudyInstanceUID"].tolist() == ["021"] * len(sizes_mm3)
    assert emboli["volume_mm3"].to_numpy() == pytest.approx(sizes_mm3, rel=1e-4)
    result, out = explain(store, "--split", "test", "--truth", store)
    assert result.code == 0, result.err
    summary = json.loads((out / "summary.json").read_text())
    assert {uid: row["positive"] for uid, row in summary["studies"].items()} == {"021": True, "022": False}
    assert summary["measures"]["pointing_game"]["n"] == 1
    froc, marks = summary["froc"], pd.read_csv(out / "marks.csv", dtype={"StudyInstanceUID": str})
    assert (froc["n_scans"], froc["n_emboli"], froc["n_marks"]) == (2, len(emboli), len(marks))
    assert marks["nearest_embolus"][marks["StudyInstanceUID"] == "021"].isin(range(1, len(emboli) + 1)).all()
    check_judged_again_by_other_masks(store, explain, summary, tmp_path)


def check_judged_again_by_other_masks(store, explain, summary, tmp_path):
    """A run that is resumed with a truth of another embolus judges its study anew, and no other."""
    other = tmp_path / "other"
    shutil.copytree(store / "places", other / "places")
    shutil.copy(store / "store.json", other)
    with h5py.File(other / "places" / "021.h5", "r+") as file:
        file["number"][:] = 0
        file["number"][0, 0, 0] = 1
        del file["volume_mm3"]
        file["volume_mm3"] = np.ones(1)
    pages = [tmp_path / "out" / uid / "index.html" for uid in ("021", "022")]
    before = [page.stat().st_mtime_ns for page in pages]
    result, out = explain(store, "--split", "test", "--truth", other)
    assert result.code == 0, result.err
    assert [page.stat().st_mtime_ns == then for page, then in zip(pages, before, strict=True)] == [False, True]
    found = json.loads((out / "summary.json").read_text())
    assert found["froc"]["n_emboli"] == 1
    assert found["studies"]["022"] == summary["studies"]["022"]
    shares = [one["studies"]["021"]["measures"]["heat_in_emboli"] for one in (summary, found)]
    assert shares[0]["random_lung"] > shares[1]["random_lung"]


def test_probabilities_are_those_of_evaluate(chain, explain, evaluated):
    exam = pd.read_csv(evaluated.root / "evaluation-tcn" / "exam.csv", dtype={"StudyInstanceUID": str})
    row = exam.iloc[0]
    result, out = explain(chain.store, "--study", row["StudyInstanceUID"])
    assert result.code == 0, result.err
    found = json.loads((out / row["StudyInstanceUID"] / "explain.json").read_text())
    assert found["seen_in_training_as"] == "test"
    for name, answer in found["exam"].items():
        assert answer["probability"] == pytest.approx(row[f"{name}_calibrated"], abs=1e-5)


@pytest.mark.parametrize(("precision", "lower"), [("auto", False), ("bf16", True)])
def test_stage_1_sees_a_study_in_the_precision_of_extraction(chain, precision, lower):
    config = load_config(chain.config, [f"stage1.extract_precision={precision}"])
    made = load_chain(
        chain.stage1, chain.tcn, label="pe_present", method="layer-cam", config=config, device="cpu"
    ).explainer
    with made.engine.autocast():
        assert torch.is_autocast_enabled("cpu") is lower


def test_a_split_needs_a_store(chain, explain):
    result, out = explain(chain.dicom, "--split", "test")
    assert result.code == 1
    assert "expected a study store, which has splits, found a folder without store.json" in result.err
    assert not out.exists()


def test_truth_that_is_not_there_is_named(chain, explain, tmp_path):
    result, out = explain(chain.store, "--split", "test", "--truth", tmp_path)
    assert result.code == 1
    assert "expected the truth of a study" in result.err
    assert not (out / "summary.json").exists()


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--study", "nobody"], 1, "found nobody; choose one of 12"),
        (["--label", "cancer", "--study", "x"], 1, "expected one of pe_present"),
        (["--split", "holdout"], 1, "expected studies in the split 'holdout'"),
        (["--study", "x", "--split", "test"], 2, "give --study or --split, not both"),
    ],
)
def test_what_cannot_be_explained_is_refused(chain, explain, more, code, message):
    result, out = explain(chain.store, *more)
    assert result.code == code
    assert message in result.err
    assert not out.exists()


def test_sanity_check_of_positive_test_studies(chain, pectl, tmp_path):
    runs = ("--stage1", chain.stage1, "--stage2", chain.tcn, "--device", "cpu", "--out", tmp_path / "out")
    result = pectl("sanity-check", chain.store, *runs, "--studies", "1")
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "out" / "sanity_check.json").read_text())
    assert [row["part"] for row in found["parts"]][::8] == ["trained", "stem"]
    assert found["parts"][0]["rank_correlation"]["mean"] == 1.0
    assert found["parts"][-1]["rank_correlation"]["mean"] < 1.0
    labels = pd.read_csv(chain.labels, dtype=str).drop_duplicates("StudyInstanceUID").set_index("StudyInstanceUID")
    assert (labels.loc[found["studies"], "negative_exam_for_pe"] == "0").all()
    assert found["statement"] in result.out
    assert "layer3" in result.out
    assert (tmp_path / "out" / "sanity_check.png").stat().st_size > 10_000


def test_sanity_check_of_a_study_straight_from_dicom(chain, pectl, tmp_path):
    runs = ("--stage1", chain.stage1, "--stage2", chain.tcn, "--device", "cpu", "--out", tmp_path / "out", "--quiet")
    result = pectl("sanity-check", chain.dicom / _uid(chain), *runs, "--label", "pe_window", "--method", "grad-cam")
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "out" / "sanity_check.json").read_text())
    assert found["studies"] == [_uid(chain)]
    assert found["parts"][1]["part"] == "stage 1 heads"
