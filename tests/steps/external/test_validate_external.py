"""A bundle at two phantom sites with other scanners and prevalences: figures, flow, overlap, files, resumption."""

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest

from pectl.bundle.load import load_bundle
from pectl.config import Config, EvaluateConfig
from pectl.core.intake.tasks import Sources
from pectl.core.labels.names import EXAM_LABELS, PE_PRESENT
from pectl.core.labels.predictions import Predictions
from pectl.core.stores.fingerprint import fingerprint_file, nearest
from pectl.core.stores.study_store import StudyStore
from pectl.errors import ConfigError, InputMissingError, LabelsError, LineageError, StoreError
from pectl.evaluation.evaluate import evaluate
from pectl.inference.instrument import seen_token
from pectl.phantom.cohort import make_cohort
from pectl.steps.bundle import StoreVolumes, make_bundle
from pectl.steps.external.sites import named_paths
from pectl.steps.external.validate_external import ExternalQuestion, validate_external
from pectl.steps.predicted.folder import PredictionFolder
from pectl.steps.preprocess import preprocess
from tests.tiny import tiny_phantom
from tests.tiny_instrument import PREPROCESS, tiny_member, write_runs

CONFIG = Config(preprocess=PREPROCESS, evaluate=EvaluateConfig(bootstrap_replicates=100))
SCANNERS = {
    "north": {"studies": 12, "prevalence": 0.5, "kernels": ("B30f",)},
    "south": {"studies": 10, "prevalence": 0.3, "kernels": ("LUNG", "FC08"), "noise_hu": (25.0, 30.0), "slices": 24},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sites' stores, and a bundle that was made with two studies of the north."""
    root = tmp_path_factory.mktemp("external")
    for seed, (name, changes) in enumerate(SCANNERS.items()):
        make_cohort(root / name, tiny_phantom().model_copy(update=changes), seed=seed)
        sources = Sources((root / name / "train",), labels=root / name / "train.csv")
        preprocess(sources, root / "stores" / name, CONFIG)
    north = StudyStore.open(root / "stores" / "north").studies
    trained = dict.fromkeys((north.index[north["negative_exam_for_pe"] == 1][0], north.index[-1]), "train")
    make_bundle(
        [write_runs(tiny_member(), root, trained=trained)],
        root / "model.pectl",
        store=StoreVolumes(path=root / "stores" / "north"),
    )
    return root


@pytest.fixture(scope="module")
def validated(world: Path) -> Path:
    validate_external(question(world), world / "out", CONFIG)
    return world / "out"


def question(world: Path, *names: str, **more: object) -> ExternalQuestion:
    stores = {name: world / "stores" / name for name in names or SCANNERS}
    return ExternalQuestion(model=world / "model.pectl", stores=stores, device="cpu", **more)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_site_has_the_figures_that_evaluate_gives_the_same_predictions(world, validated, tmp_path):
    result = json.loads((validated / "external.json").read_text())
    decisions = load_bundle(world / "model.pectl").members[0].decisions
    for name in SCANNERS:
        store = StudyStore.open(world / "stores" / name)
        rows = PredictionFolder(validated / "sites" / name).rows()
        left_out = {uid for studies in result["sites"][name]["overlap"]["studies"].values() for uid in studies}
        said = {row.prediction.study: row.prediction.answers for row in rows if row.prediction.study not in left_out}
        names = (*EXAM_LABELS, PE_PRESENT)
        exam = pd.DataFrame({uid: {label: a[label].score for label in names} for uid, a in said.items()}).T
        judged = Predictions("test", exam.rename_axis("StudyInstanceUID"), rv_lv="given-pe")
        expected = evaluate(judged, store.studies, decisions, CONFIG.evaluate, out=tmp_path, lineage={}, seed=0)
        found = result["sites"][name]["exam"]
        assert found == json.loads(json.dumps(expected["exam"]))
        block = found["pe_present"]
        assert result["sites"][name]["prevalence"]["n"] == block["n"] == len(said)


def test_studies_of_the_training_are_named_and_left_out_and_shown_beside(validated):
    site = json.loads((validated / "external.json").read_text())["sites"]["north"]
    assert len(site["overlap"]["studies"]["trained_on"]) == 2
    assert (site["flow"]["eligible"], site["flow"]["trained_on"], site["flow"]["analysed"]) == (12, 2, 10)
    assert (site["exam"]["pe_present"]["n"], site["with_overlap"]["n"]) == (10, 12)
    assert (site["overlap"]["training_fingerprints"], site["overlap"]["nearest"]) == (2, 0.0)


def write_mirrored(series: Path, out: Path) -> None:
    """Write a DICOM series as NIfTI: left for right, without saying so, and HU in steps of 10."""
    slices = sorted(
        map(pydicom.dcmread, filter(Path.is_file, series.rglob("*"))), key=lambda one: one.ImagePositionPatient[2]
    )
    hu = np.stack([one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices])
    dy, dx = map(float, slices[0].PixelSpacing)
    dz = float(np.median(np.diff([float(one.ImagePositionPatient[2]) for one in slices])))
    x, y, z = map(float, slices[0].ImagePositionPatient)
    rounded = (np.round(np.maximum(hu, -1024) / 10) * 10).astype(np.int16)
    affine = np.array([[-dx, 0, 0, -x], [0, -dy, 0, -y], [0, 0, dz, z], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(rounded.transpose(2, 1, 0)[::-1], affine), out)


def test_a_copy_in_another_container_is_found_by_its_volume(world, tmp_path):
    """Studies of the training, and others, as studies of another name at another site."""
    cohort, tokens = world / "north" / "train", load_bundle(world / "model.pectl").seen
    labels = pd.read_csv(world / "north" / "train.csv", dtype=str)
    rows, trained = [], set()
    (tmp_path / "volumes").mkdir()
    for number, uid in enumerate(sorted(labels["StudyInstanceUID"].unique())):
        name = f"copy{number}"
        write_mirrored(cohort / uid, tmp_path / "volumes" / f"{name}.nii.gz")
        mine = labels[labels["StudyInstanceUID"] == uid].copy()
        mine["SOPInstanceUID"] = [f"{name}#{k}" for k in range(1, len(mine) + 1)]
        rows.append(mine.assign(StudyInstanceUID=name))
        trained |= {name} if seen_token(uid) in tokens else set()
    pd.concat(rows).to_csv(tmp_path / "labels.csv", index=False)
    preprocess(Sources((tmp_path / "volumes",), labels=tmp_path / "labels.csv"), tmp_path / "copies", CONFIG)
    stores = {"copies": tmp_path / "copies", "north": world / "stores" / "north"}
    asked = ExternalQuestion(model=world / "model.pectl", stores=stores, device="cpu", workers=2)
    result = validate_external(asked, tmp_path / "out", CONFIG)
    studies = result["sites"]["copies"]["overlap"]["studies"]
    assert len(trained) == 2
    assert (studies["trained_on"], set(studies["near_identical"])) == ([], trained)
    pairs = {(one["site"], one["other_site"], one["study"]) for one in result["repeated"]}
    assert pairs == {("copies", "north", f"copy{number}") for number in range(12)}


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_real_chests_are_found_as_mirrored_volumes_and_told_from_each_other(real_data, tmp_path):
    names = ("chest_thick_8mm", "chest_planning_3mm_j2k")
    (tmp_path / "volumes").mkdir()
    for name in names:
        write_mirrored(real_data / "ct" / name, tmp_path / "volumes" / f"{name}.nii.gz")
        preprocess(Sources((real_data / "ct" / name,)), tmp_path / name, CONFIG)
    preprocess(Sources((tmp_path / "volumes",)), tmp_path / "copies", CONFIG)
    prints = [fingerprint_file(next((tmp_path / name / "studies").iterdir())) for name in names]
    copies = [fingerprint_file(tmp_path / "copies" / "studies" / f"{name.replace('_', '.')}.h5") for name in names]
    assert nearest(prints[:1], prints[1:])[0][0] > 0.3
    assert [nearest([one], [copy])[0][0] for one, copy in zip(prints, copies, strict=True)] == pytest.approx(
        [0, 0], abs=0.01
    )


def test_the_files_of_the_result(validated):
    names = {path.name for path in validated.iterdir()}
    figures = {f"{name}.{kind}" for name in ("forest", "flow", "calibration") for kind in ("png", "svg")}
    assert names == figures | {
        "external.json", "report.html", "studies.csv", "claim_tripod.csv", "config.toml", "sites",
    }  # fmt: skip
    rows = table(validated / "studies.csv")
    assert len(rows) == 22
    assert {row["outcome"] for row in rows} == {"analysed", "trained_on"}
    items = table(validated / "claim_tripod.csv")
    counts = {
        guideline: sum(row["guideline"] == guideline for row in items) for guideline in ("CLAIM 2024", "TRIPOD+AI")
    }
    assert counts == {"CLAIM 2024": 44, "TRIPOD+AI": 52}
    told = {(row["guideline"], row["item"]): row["found_in_this_run"] for row in items}
    assert told["CLAIM 2024", "44"] == "to be written by the authors"
    assert "eligible 12, predicted 12, trained on 2, analysed 10" in told["CLAIM 2024", "35"]
    page = (validated / "report.html").read_text()
    assert "Research use only, not for diagnosis." in page
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_a_second_run_predicts_nothing_anew_and_writes_the_same(world, validated, tmp_path):
    again = shutil.copytree(validated, tmp_path / "again")
    before = {path: path.stat().st_mtime_ns for path in again.glob("sites/*/studies/*.json")}
    seen = []
    validate_external(question(world, progress=lambda *numbers: seen.append(numbers)), again, CONFIG)
    assert len(before) == 22
    assert before == {path: path.stat().st_mtime_ns for path in again.glob("sites/*/studies/*.json")}
    for name in ("external.json", "studies.csv", "claim_tripod.csv", "report.html"):
        assert (again / name).read_bytes() == (validated / name).read_bytes()


def test_provenance_and_masks(world, tmp_path):
    """A store that says where its studies come from, and masks for the size of the emboli."""
    store = shutil.copytree(world / "stores" / "south", tmp_path / "south")
    studies = pd.read_csv(store / "studies.csv", dtype=str)
    studies["provenance"] = ["RSNA", *["INSPECT"] * (len(studies) - 1)]
    studies.to_csv(store / "studies.csv", index=False)
    asked = ExternalQuestion(
        model=world / "model.pectl",
        stores={"south": store},
        sizes={"south": world / "south" / "truth"},
        trained_on=["rsna"],
        device="cpu",
    )
    site = validate_external(asked, tmp_path / "out", CONFIG)["sites"]["south"]
    assert site["overlap"]["studies"]["declared_overlap"] == [studies["StudyInstanceUID"][0]]
    assert site["reference"] == {"INSPECT": 9, "RSNA": 1}


def refused(kind: type[Exception], text: str, asked: ExternalQuestion, out: Path) -> None:
    with pytest.raises(kind, match=text):
        validate_external(asked, out, CONFIG)
    assert not out.exists()


def test_bad_input_is_one_line_and_leaves_nothing(world, tmp_path):
    model, north, out = world / "model.pectl", world / "stores" / "north", tmp_path / "out"
    ask = lambda **stores: ExternalQuestion(model=model, stores=stores, device="cpu")  # noqa: E731
    refused(
        ConfigError, "north: expected a store for each site, found one store as a and b", ask(a=north, b=north), out
    )
    copy = shutil.copytree(north, tmp_path / "copy")
    refused(ConfigError, "each study at one site, found 12 of b that a has too, such as", ask(a=north, b=copy), out)
    refused(StoreError, "expected a file that pectl preprocess writes", ask(a=tmp_path / "none"), out)
    other = Config(preprocess=PREPROCESS.model_copy(update={"in_plane_px": 40}))
    source = next((world / "north" / "train").iterdir())
    preprocess(Sources((source,)), tmp_path / "other", other)
    refused(LineageError, "preprocessed as for the model model: [0-9a-f]{64}, found", ask(a=tmp_path / "other"), out)
    preprocess(Sources((source,)), tmp_path / "blank", CONFIG)
    refused(LabelsError, "labels of PE, which a validation compares with, found none", ask(a=tmp_path / "blank"), out)
    masks = ExternalQuestion(model=model, stores={"a": north}, sizes={"b": north}, device="cpu")
    refused(ConfigError, "--truth: expected a site: a, found b", masks, out)
    masks = ExternalQuestion(model=model, stores={"a": north}, sizes={"a": tmp_path}, device="cpu")
    refused(InputMissingError, "npz: expected the truth of a study, found", masks, out)


def test_a_bundle_takes_fingerprints_of_its_own_store_alone(world, tmp_path):
    runs = [(world / "stage1", world / "stage2")]
    south = StoreVolumes(path=world / "stores" / "south")
    with pytest.raises(
        InputMissingError, match="south: expected studies that the runs were made with, found none of 2"
    ):
        make_bundle(runs, tmp_path / "x.pectl", store=south)
    other = Config(preprocess=PREPROCESS.model_copy(update={"in_plane_px": 40}))
    preprocess(Sources((next((world / "north" / "train").iterdir()),)), tmp_path / "other", other)
    with pytest.raises(LineageError, match=r"other: expected the store of .*stage1: [0-9a-f]{64}, found [0-9a-f]{64}"):
        make_bundle(runs, tmp_path / "x.pectl", store=StoreVolumes(path=tmp_path / "other"))
    assert not (tmp_path / "x.pectl").exists()


def test_an_empty_store(world, write_series, tmp_path):
    write_series(tmp_path / "in", study="1.1", n_slices=5, size=(64, 64), pixel_spacing_mm=(6.0, 6.0))
    preprocess(Sources((tmp_path / "in",)), tmp_path / "store", CONFIG)
    asked = ExternalQuestion(model=world / "model.pectl", stores={"a": tmp_path / "store"}, device="cpu")
    refused(
        InputMissingError, "store: expected studies that the model can read, found none of 1", asked, tmp_path / "o"
    )


def test_names_of_sites():
    found = named_paths(["a/b/north", "two=a/b/north"], option="STORE")
    assert found == {"north": Path("a/b/north"), "two": Path("a/b/north")}
    with pytest.raises(ConfigError, match="STORE: expected each name once, found north for a/north and b/north"):
        named_paths(["a/north", "b/north"], option="STORE")
    with pytest.raises(ConfigError, match=r"a name of letters, digits, dots, _ and -, found '\.\./x'; write NAME=y"):
        named_paths(["../x=y"], option="STORE")
