"""A model on one study: the same scores to the bit however the study is given, and as evaluate has them."""

import json
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from pectl.config import Config, EvaluateConfig, SplitConfig
from pectl.core.decisions.calibration import Calibrator
from pectl.core.decisions.decisions import EXAM_NAMES
from pectl.core.decisions.image_fusion import ImageFusion
from pectl.core.intake.tasks import Sources
from pectl.core.labels.names import EXAM_LABELS, INDETERMINATE, NEGATIVE, PE_PRESENT, RV_LV, STUDY_LABELS
from pectl.core.stores.feature_store import FeatureStore
from pectl.core.stores.study_store import StudyStore
from pectl.errors import InputMissingError, LineageError, StoreError
from pectl.evaluation.evaluate import evaluate
from pectl.inference.device import Engine
from pectl.inference.instrument import instrument_of_runs
from pectl.inference.prediction import Prediction
from pectl.steps.extract_features import extract_features
from pectl.steps.predict_split import predict_split
from pectl.steps.preprocess import preprocess
from tests.tiny_instrument import PREPROCESS, tiny_decisions, tiny_instrument, tiny_member, write_runs

STUDIES = ("1.1", "1.2", "1.3")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, write_series):
    """Three studies, one of them larger; a labels table; their store, in which all are tested on."""
    root = tmp_path_factory.mktemp("cohort")
    rows = []
    for place, study in enumerate(STUDIES):
        edit = patient(place)
        shape = {"n_slices": 34 + 4 * place, "size": (64, 64), "pixel_spacing_mm": (6.0 - 0.4 * place,) * 2}
        uids = write_series(root / "dicom" / study, study=study, edit=edit, **shape)
        labels = dict.fromkeys(STUDY_LABELS, 0)
        labels |= {"rv_lv_ratio_lt_1": 1, "leftsided_pe": 1} if place == 1 else {"negative_exam_for_pe": 1}
        for at, uid in enumerate(uids):
            present = int(place == 1 and at == 20)
            rows.append({"StudyInstanceUID": study, "SOPInstanceUID": uid, "pe_present_on_image": present} | labels)
    pd.DataFrame(rows).to_csv(root / "train.csv", index=False)
    pd.DataFrame({"StudyInstanceUID": STUDIES, "split": "test"}).to_csv(root / "splits.csv", index=False)
    split = SplitConfig(method="csv", csv=root / "splits.csv")
    config = Config(preprocess=PREPROCESS, split=split)
    preprocess(Sources((root / "dicom",), root / "train.csv"), root / "store", config)
    return root


def patient(place):
    def edit(dataset, _):
        dataset.PatientID = f"P{place}"

    return edit


def scores(prediction: Prediction) -> dict[str, object]:
    """What is said, without the findings: they tell how the files were."""
    return {key: prediction.to_dict()[key] for key in ("study", "series", "state", "answers", "images", "hottest")}


def recompressed(folder, out, syntax):
    out.mkdir()
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(out / path.name)
    return out


def test_a_study_has_the_same_scores_to_the_bit_however_it_is_given(cohort, tmp_path):
    model, folder = tiny_instrument(), cohort / "dicom" / "1.2"
    wanted = scores(model.predict(folder))
    assert len(wanted["images"]) == 38
    flat = tmp_path / "flat"
    flat.mkdir()
    names = np.random.default_rng(1).permutation(38)
    for name, path in zip(names, sorted(folder.iterdir()), strict=True):
        shutil.copy(path, flat / f"{name:03d}")
    assert scores(model.predict(flat)) == wanted
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    assert scores(model.predict(tmp_path / "study.zip")) == wanted
    for syntax in (JPEGLSLossless, JPEG2000Lossless):
        assert scores(model.predict(recompressed(folder, tmp_path / syntax.name.replace("/", ""), syntax))) == wanted
    study = StudyStore.open(cohort / "store").read_study("1.2")
    verdict = model.predict(folder)
    from_store = model.answer(replace_verdict(verdict), study, Engine()).prediction
    assert scores(from_store) == wanted


def replace_verdict(prediction):
    from pectl.core.intake.verdicts import Verdict

    return Verdict(study=prediction.study, series=prediction.series, choice="", findings=prediction.findings)


def test_scores_of_a_small_model_stay_what_they_were(cohort):
    found = tiny_instrument().predict(cohort / "dicom" / "1.1")
    answers = {name: round(one.probability, 4) for name, one in found.answers.items()}
    assert answers == pytest.approx(GOLDEN, abs=2e-4)
    assert (found.state, found.hottest) == GOLDEN_STATE
    assert [found.images[place].score for place in GOLDEN_IMAGES] == pytest.approx([*GOLDEN_IMAGES.values()], abs=1e-5)


GOLDEN = {
    "pe_present": 0.3938,
    "negative_exam_for_pe": 0.3887,
    "indeterminate": 0.4497,
    "chronic_pe": 0.5125,
    "acute_and_chronic_pe": 0.4116,
    "central_pe": 0.4237,
    "leftsided_pe": 0.5121,
    "rightsided_pe": 0.4618,
    "rv_lv_ratio_gte_1": 0.4999,
    "rv_lv_ratio_lt_1": 0.5001,
}
GOLDEN_STATE = ("undecided", "1.1.1.7")
GOLDEN_IMAGES = {0: 0.292994, 7: 0.293334, 15: 0.292509, 33: 0.292993}


def test_a_split_has_the_tables_of_evaluate_to_the_bit(cohort, tmp_path):
    stage1, stage2 = write_runs(tiny_member(), tmp_path, trained={"9.9": "train", "9.8": "val"})
    config = Config(preprocess=PREPROCESS)
    extract_features(
        cohort / "store", stage1, tmp_path / "features", config, device="cpu", shard=None, progress=lambda *_: None
    )
    store = FeatureStore.open(tmp_path / "features")
    predictions = predict_split(store, stage2, "test", device="cpu")
    made = EvaluateConfig(bootstrap_replicates=100)
    evaluate(predictions, store.studies, tiny_decisions(), made, out=tmp_path / "out", lineage={}, seed=0)
    exam = pd.read_csv(tmp_path / "out" / "exam.csv", dtype=str).set_index("StudyInstanceUID")
    image = pd.read_csv(tmp_path / "out" / "image.csv", dtype=str).set_index("SOPInstanceUID")
    scored = tiny_decisions().scored(predictions).image.set_index("SOPInstanceUID")["score"]
    model = instrument_of_runs(stage1, stage2)
    for uid in STUDIES:
        found = model.predict(cohort / "dicom" / uid)
        for name in (*EXAM_LABELS, PE_PRESENT):
            answer = found.answers[name]
            told = [answer.score, answer.probability, answer.consistent]
            columns = [f"{name}_{version}" for version in ("raw", "calibrated", "consistent")]
            assert [f"{value:.9g}" for value in told] == exam.loc[uid, columns].tolist(), name
            assert answer.score == predictions.exam.loc[uid, name]
        for one in found.images:
            row = image.loc[one.sop_instance_uid]
            assert one.score == scored[one.sop_instance_uid]
            assert [f"{value:.9g}" for value in (one.score, one.consistent)] == [row["score"], row["consistent"]]


def test_the_two_labels_of_rv_lv_are_one_question(cohort):
    for members in ((tiny_member(),), (tiny_member(0), tiny_member(1))):
        answers = tiny_instrument(*members).predict(cohort / "dicom" / "1.1").answers
        ratio = [answers[name] for name in RV_LV]
        assert sum(one.score for one in ratio) == pytest.approx(1.0, abs=1e-7)
        assert sum(one.probability for one in ratio) == pytest.approx(1.0, abs=1e-12)
        assert sum(one.consistent for one in ratio) == answers[PE_PRESENT].consistent


def test_members_are_averaged_after_calibration(cohort):
    study, verdict = read(cohort, "1.1")
    other = replace(tiny_decisions(rule_out=0.0, rule_in=1.0), image_fusion=ImageFusion("logistic", 0.2, 1.5, 0.3))
    members = (tiny_member(0), tiny_member(1, other))
    single = [tiny_instrument(one).answer(verdict, study, Engine()).prediction for one in members]
    both = tiny_instrument(*members).answer(verdict, study, Engine()).prediction
    for name in (*EXAM_LABELS, PE_PRESENT):
        mean = np.mean([one.answers[name].probability for one in single])
        assert both.answers[name].probability == pytest.approx(mean, abs=1e-12)
    assert both.images[20].score == pytest.approx(np.mean([one.images[20].score for one in single]), abs=1e-12)


def read(cohort, uid):
    found = tiny_instrument().predict(cohort / "dicom" / uid)
    return StudyStore.open(cohort / "store").read_study(uid), replace_verdict(found)


def test_the_hottest_slice_is_the_image_of_the_highest_score_and_its_picture_comes_along(cohort):
    study, verdict = read(cohort, "1.1")
    found, hu = tiny_instrument().answer(verdict, study, Engine())
    score = np.array([one.score for one in found.images])
    (place,) = np.flatnonzero(study.source.sop_instance_uid == found.hottest)
    assert score[place] == score.max() > 0
    assert np.array_equal(hu, study.hu[study.source.grid_index[place]])


def test_of_images_at_one_slice_of_the_grid_the_hottest_is_the_one_that_consistency_raises(cohort):
    study, verdict = read(cohort, "1.1")
    source = replace(study.source, grid_index=np.where(study.source.grid_index < 0, -1, 7).astype(np.int32))
    shifted = {name: Calibrator("platt", intercept=6.0 if name == PE_PRESENT else 0.0) for name in EXAM_NAMES}
    shifted |= {name: Calibrator("platt", intercept=-6.0) for name in (NEGATIVE, INDETERMINATE)}
    fusion = ImageFusion("logistic", slice_weight=0.1, context_weight=0.0, intercept=-1.0)
    says_pe = replace(tiny_decisions(), calibrators=shifted, image_fusion=fusion)
    found, _ = tiny_instrument(tiny_member(0, says_pe)).answer(verdict, replace(study, source=source), Engine())
    inside = [one for one, index in zip(found.images, source.grid_index, strict=True) if index == 7]
    assert len({one.score for one in inside}) == 1
    assert inside[0].score < 0.5 < inside[-1].consistent
    assert found.hottest == inside[-1].sop_instance_uid
    assert [one.consistent for one in inside[:-1]] == [inside[0].score] * (len(inside) - 1)


def test_where_no_image_has_a_score_the_hottest_still_lies_in_the_lung_box(cohort):
    study, verdict = read(cohort, "1.1")
    study.source.grid_index[[0, -1]] = -1
    none = replace(tiny_decisions(), image_fusion=ImageFusion("logistic", 0.0, 0.0, -1000.0))
    found, hu = tiny_instrument(tiny_member(0, none)).answer(verdict, study, Engine())
    assert {one.score for one in found.images} == {0.0}
    (place,) = np.flatnonzero(study.source.sop_instance_uid == found.hottest)
    assert study.source.grid_index[place] >= 0
    assert np.array_equal(hu, study.hu[study.source.grid_index[place]])


def test_images_outside_the_lung_box_score_0(cohort):
    study, verdict = read(cohort, "1.1")
    study.source.grid_index[[0, 1, -1]] = -1
    found, _ = tiny_instrument().answer(verdict, study, Engine())
    outside = [one.score == 0 for one in found.images]
    assert outside == [True, True, *[False] * (len(outside) - 3), True]


def test_a_study_that_the_model_was_made_with_is_marked(cohort):
    assert tiny_instrument(seen=("1.1",)).predict(cohort / "dicom" / "1.1").seen
    assert not tiny_instrument(seen=("1.2",)).predict(cohort / "dicom" / "1.1").seen


def test_seen_studies_of_runs_are_those_of_training_and_validation(tmp_path):
    trained = {"1.1": "train", "1.2": "val", "1.3": "test"}
    made = instrument_of_runs(*write_runs(tiny_member(), tmp_path, trained=trained))
    assert made.seen == tiny_instrument(seen=("1.1", "1.2")).seen
    (tmp_path / "stage2" / "splits.csv").unlink()
    with pytest.raises(StoreError, match=r"splits.csv: expected the splits that the run was trained with, found no"):
        instrument_of_runs(tmp_path / "stage1", tmp_path / "stage2")


def test_runs_whose_preprocessing_is_not_that_of_their_store_are_refused(tmp_path):
    write_runs(tiny_member(), tmp_path, trained={})
    path = tmp_path / "stage1" / "config.toml"
    path.write_text(path.read_text().replace("in_plane_px = 32", "in_plane_px = 64"))
    with pytest.raises(LineageError, match=r"expected the \[preprocess\] section of study store [0-9a-f]{64}, found"):
        instrument_of_runs(tmp_path / "stage1", tmp_path / "stage2")


def test_a_study_unlike_those_of_training_says_why(cohort):
    class Judge:
        def flag(self, features):
            return features.shape[1] == 128

        def findings(self, flags, slice_step_mm):
            return tuple(code for code in flags if code == "thick_slices")

    found = tiny_instrument(out_of_distribution=Judge()).predict(cohort / "dicom" / "1.1")
    assert found.unlike == ("features far from those of training", "thick_slices")


def test_a_study_shorter_than_a_window_is_refused_with_both_lengths(cohort):
    study, verdict = read(cohort, "1.1")
    short = replace(study, hu=study.hu[:5])
    found, picture = tiny_instrument().answer(verdict, short, Engine())
    assert (found.state, found.findings[0].code) == ("refused", "too_short")
    assert found.findings[0].detail == "5 slices of 6 mm, windows of 6"
    assert picture is None


def test_not_one_study_is_named(cohort):
    with pytest.raises(InputMissingError, match=r"dicom: expected one study, found 3: 1\.\d, 1\.\d, 1\.\d; give the"):
        tiny_instrument().predict(cohort / "dicom")
    with pytest.raises(InputMissingError, match="no such file or folder"):
        tiny_instrument().predict(cohort / "nowhere")


def test_json_both_ways_and_a_table_for_notebooks(cohort):
    found = tiny_instrument().predict(cohort / "dicom" / "1.1")
    assert Prediction.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    table = found._repr_html_()
    assert "study 1.1: " in table
    assert f"<td>{found.answers['central_pe'].probability:.3f}</td>" in table
    assert "Research use only, not for diagnosis." in table
