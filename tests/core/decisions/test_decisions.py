import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pectl.config import EvaluateConfig
from pectl.core.decisions.calibration import Calibrator
from pectl.core.decisions.decisions import EXAM_NAMES, Decisions, fit_decisions
from pectl.core.decisions.image_fusion import fit_image_fusion
from pectl.core.decisions.thresholds import Threshold, fit_threshold
from pectl.core.labels.names import ALL_STUDIES, EXAM_LABELS, PE_PRESENT
from pectl.core.labels.predictions import as_competition
from pectl.errors import LineageError, PredictionsError, StoreError

CONFIG = EvaluateConfig()


@pytest.fixture
def fitted(make_cohort):
    return fit_decisions(*make_cohort(150, seed=1, split="val"), CONFIG)


def test_every_label_gets_a_calibrator_and_a_threshold(fitted):
    assert set(fitted.calibrators) == {*EXAM_LABELS, "pe_present"}
    assert set(fitted.thresholds) == {
        *EXAM_LABELS,
        *ALL_STUDIES,
        "pe_present",
        "window",
        "window_stage1",
        "image",
    }
    assert all(item.kind == "temperature" for item in fitted.calibrators.values())
    assert all(item.rule == "youden" for item in fitted.thresholds.values())
    assert (fitted.split, fitted.n_studies, fitted.split_fingerprint) == ("val", 150, "fingerprint-0")


def test_target_sensitivity_holds_on_validation(make_cohort):
    predictions, truth = make_cohort(150, seed=1, split="val")
    config = EvaluateConfig(threshold_rule="target-sensitivity", target=0.9, calibration="isotonic")
    decisions = fit_decisions(predictions, truth, config)
    calibrated = decisions.calibrated(predictions.exam)
    for name in EXAM_LABELS:
        called = calibrated[name] >= decisions.thresholds[name].value
        assert called[truth[name] == 1].mean() >= 0.9, name
    window = predictions.window
    called = window["score"] >= decisions.thresholds["window"].value
    assert called[window["label"] == 1].mean() >= 0.9


def test_the_band_is_fitted_on_calibrated_pe_scores(make_cohort):
    predictions, truth = make_cohort(150, seed=1, split="val")
    config = EvaluateConfig(miss_rate=0.1, false_alarm_rate=0.2)
    decisions = fit_decisions(predictions, truth, config)
    score = decisions.calibrated(predictions.exam)["pe_present"]
    present = (truth["negative_exam_for_pe"] == 0) & (truth["indeterminate"] == 0)
    negative = truth["negative_exam_for_pe"] == 1
    assert (score[present] < decisions.band.rule_out).mean() <= 0.1
    assert (score[negative] >= decisions.band.rule_in).mean() <= 0.2
    assert (decisions.band.n_positive, decisions.band.n_negative) == (present.sum(), negative.sum())


def test_undefined_and_unknown_labels_are_left_out(make_cohort):
    predictions, truth = make_cohort(150, seed=1, split="val")
    plain = fit_decisions(predictions, truth, CONFIG)
    unknown = truth.copy()
    unknown.iloc[:10] = np.nan
    without = replace(predictions, exam=predictions.exam.iloc[10:])
    few = fit_decisions(without, truth, CONFIG)
    assert fit_decisions(predictions, unknown, CONFIG).thresholds["central_pe"] == few.thresholds["central_pe"]
    assert few.thresholds["central_pe"] != plain.thresholds["central_pe"]
    predictions = replace(predictions, rv_lv="given-pe")
    plain = fit_decisions(predictions, truth, CONFIG)
    shuffled = predictions.exam.copy()  # RV/LV scores of studies without PE, where the label isn't defined
    shuffled.loc[truth["rv_lv_ratio_gte_1"].isna(), "rv_lv_ratio_gte_1"] = 0.999
    refitted = fit_decisions(replace(predictions, exam=shuffled), truth, CONFIG)
    assert refitted.thresholds["rv_lv_ratio_gte_1"] == plain.thresholds["rv_lv_ratio_gte_1"]


def test_one_class_on_validation_falls_back_with_a_reason(make_cohort):
    predictions, truth = make_cohort(30, seed=1, split="val", images=False)
    decisions = fit_decisions(replace(predictions, window=None), truth.assign(chronic_pe=0.0), CONFIG)
    reason = "not fitted: 0 of 30 validation cases are positive"
    assert decisions.calibrators["chronic_pe"] == Calibrator(reason=reason)
    assert decisions.thresholds["chronic_pe"] == Threshold(0.5, "fixed", reason)
    for name in ("window", "window_stage1", "image"):
        assert decisions.thresholds[name].reason == "not fitted: no such predictions on validation"


def test_rv_lv_calibrators_are_fitted_where_scores_mean_something(make_cohort):
    predictions, truth = make_cohort(150, seed=1, split="val")
    given = fit_decisions(replace(predictions, rv_lv="given-pe"), truth, CONFIG)
    joint = fit_decisions(predictions, truth, CONFIG)
    absent = fit_decisions(predictions, truth.fillna(0), CONFIG)
    name = "rv_lv_ratio_gte_1"
    assert joint.calibrators[name] == absent.calibrators[name] != given.calibrators[name]
    assert joint.thresholds[f"{name}_all_studies"] == absent.thresholds[name]


def test_pe_present_counts_indeterminate_studies_as_configured(make_cohort):
    predictions, truth = make_cohort(200, seed=1, split="val")
    excluded = fit_decisions(predictions, truth, CONFIG)
    negative = fit_decisions(predictions, truth, EvaluateConfig(indeterminate="as-negative"))
    assert excluded.calibrators[PE_PRESENT] != negative.calibrators[PE_PRESENT]
    assert excluded.calibrators["central_pe"] == negative.calibrators["central_pe"]


def test_calibrated_has_pe_present_of_the_raw_scores(make_cohort):
    predictions, _ = make_cohort(20)
    calibrated = Decisions().calibrated(predictions.exam)
    assert tuple(calibrated.columns) == EXAM_NAMES
    raw = predictions.exam
    expected = (1 - raw["negative_exam_for_pe"]) * (1 - raw["indeterminate"])
    pd.testing.assert_series_equal(calibrated[PE_PRESENT], expected.rename(PE_PRESENT))
    pd.testing.assert_frame_equal(calibrated[list(EXAM_LABELS)], raw, check_names=False)


def test_rv_lv_given_pe_has_one_calibrator_by_hand():
    """0.8 is odds of 4; a temperature of 2 makes 2 of them, so 2/3, whatever the calibrator of RV/LV < 1 is."""
    exam = pd.DataFrame([dict.fromkeys(EXAM_LABELS, 0.1) | {"rv_lv_ratio_gte_1": 0.8, "rv_lv_ratio_lt_1": 0.2}])
    decisions = Decisions()
    calibrators = decisions.calibrators | {
        "rv_lv_ratio_gte_1": Calibrator("temperature", temperature=2.0),
        "rv_lv_ratio_lt_1": Calibrator("temperature", temperature=0.3),
    }
    found = replace(decisions, calibrators=calibrators).calibrated(exam.assign(pe_present=0.75), "given-pe")
    assert found["rv_lv_ratio_gte_1"].tolist() == pytest.approx([2 / 3], rel=1e-12)
    assert found["rv_lv_ratio_lt_1"].tolist() == pytest.approx([1 / 3], rel=1e-12)
    joint = as_competition(found, "given-pe").iloc[0]
    assert joint[["rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1"]].tolist() == pytest.approx([0.5, 0.25], rel=1e-12)


@pytest.mark.parametrize("calibration", ["temperature", "platt", "isotonic", "none"])
def test_rv_lv_given_pe_is_fitted_once(make_cohort, calibration):
    predictions, truth = make_cohort(150, seed=1, split="val")
    exam = predictions.exam.assign(rv_lv_ratio_lt_1=1 - predictions.exam["rv_lv_ratio_gte_1"])
    given = replace(predictions, exam=exam, rv_lv="given-pe")
    decisions = fit_decisions(given, truth, EvaluateConfig(calibration=calibration))
    reason = "not fitted: given PE it is 1 - rv_lv_ratio_gte_1"
    assert decisions.calibrators["rv_lv_ratio_lt_1"] == Calibrator(reason=reason)
    found = decisions.calibrated(exam, "given-pe")
    large, small = found["rv_lv_ratio_gte_1"], found["rv_lv_ratio_lt_1"]
    np.testing.assert_allclose(large + small, 1.0, rtol=1e-15)
    np.testing.assert_array_equal(large, decisions.calibrators["rv_lv_ratio_gte_1"].apply(exam["rv_lv_ratio_gte_1"]))


def test_json_keeps_every_number(fitted):
    assert Decisions.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted


@pytest.mark.parametrize("fault", ["missing", "unknown", "no calibrator", "no image scores"])
def test_other_json_is_refused(fitted, fault):
    data = fitted.to_json()
    if fault == "missing":
        del data["thresholds"]["image"]
    elif fault == "unknown":
        data["mystery"] = 1
    elif fault == "no image scores":  # of an earlier version
        del data["image_fusion"]
    else:
        del data["calibrators"]
    text = r"expected calibrators and thresholds as pectl writes them, found .*; make them again with this version of"
    with pytest.raises(StoreError, match=text):
        Decisions.from_json(data)


def test_the_split_it_was_fitted_on_is_refused(fitted, make_cohort):
    same_name, _ = make_cohort(10, seed=2, split="val")
    with pytest.raises(PredictionsError, match="found they were fitted on 150 studies of 'val';"):
        fitted.check_not_fitted_on(same_name)
    same_studies, _ = make_cohort(150, seed=1, split="val")
    with pytest.raises(PredictionsError, match="studies that the decisions weren't fitted on"):
        fitted.check_not_fitted_on(replace(same_studies, split="test"))
    one = replace(same_studies, split="external", exam=same_studies.exam[-1:], window=None, image=None)
    with pytest.raises(PredictionsError, match="1 of them are here, such as val1-0149"):
        fitted.check_not_fitted_on(one)


def test_new_studies_may_be_judged_of_the_same_cohort_or_of_another(fitted, make_cohort):
    predictions, _ = make_cohort(10, seed=2)
    fitted.check_not_fitted_on(predictions)
    fitted.check_not_fitted_on(replace(predictions, split_fingerprint="of another cohort"))


def test_nothing_fitted_fits_every_split(make_cohort):
    Decisions().check_not_fitted_on(make_cohort(3)[0])


def test_studies_without_labels_are_named(make_cohort):
    predictions, truth = make_cohort(10)
    with pytest.raises(PredictionsError, match="expected a row for each of the 10 predicted studies, found none for 4"):
        fit_decisions(predictions, truth.iloc[4:], CONFIG)


def test_decisions_stay_with_the_model_they_were_fitted_for(fitted):
    fitted.check_fitted_for("any run")  # those that lie in a run are the run's
    of_run = replace(fitted, made_from={"stage2": "abc"})
    of_run.check_fitted_for("abc")
    with pytest.raises(LineageError, match="predictions of the stage 2 run def, found the stage 2 run abc"):
        of_run.check_fitted_for("def")
    with pytest.raises(LineageError, match="predictions of a table, found the stage 2 run abc"):
        of_run.check_fitted_for(None)
    with pytest.raises(LineageError, match="predictions of the stage 2 run abc, found a table"):
        replace(fitted, made_from={"predictions": "p.csv"}).check_fitted_for("abc")


def with_logits(predictions, *, seed=0):
    """The predictions as of a model of ours: images have logits, and no score yet; every tenth lies outside the box."""
    label = predictions.image["label"].to_numpy()
    rng = np.random.default_rng(seed)
    logits = np.stack([2.0 * label - 1 + rng.normal(size=label.size), 3.0 * label + rng.normal(size=label.size)], 1)
    logits[::10] = -np.inf
    return replace(predictions, image=predictions.image.drop(columns="score"), image_logits=logits)


def test_images_of_validation_in_the_lung_box_fit_the_fusion_and_their_threshold(make_cohort):
    predictions, truth = make_cohort(150, seed=1, split="val")
    given = with_logits(predictions)
    given.image.loc[5:9, "label"] = -1
    label, inside = given.image["label"].to_numpy(), np.arange(len(given.image)) % 10 != 0
    known = inside & (label != -1)
    decisions = fit_decisions(given, truth, CONFIG)
    assert decisions.image_fusion == fit_image_fusion(label[known] == 1, given.image_logits[known])
    assert decisions.image_fusion.kind == "logistic"
    scored = decisions.scored(given).image
    assert list(scored) == ["StudyInstanceUID", "SOPInstanceUID", "score", "label"]
    assert np.array_equal(scored["score"], decisions.image_fusion.apply(given.image_logits))
    judged = scored[scored["label"] != -1]
    wanted = fit_threshold((judged["label"] == 1).to_numpy(), judged["score"].to_numpy(), rule="youden", target=0.85)
    assert decisions.thresholds["image"] == wanted


def test_without_a_positive_image_on_validation_the_logits_are_averaged_and_the_decisions_say_why(make_cohort):
    predictions, truth = make_cohort(20, seed=1, split="val")
    given = with_logits(predictions)
    given.image["label"] = 0
    fusion = fit_decisions(given, truth, CONFIG).to_json()["image_fusion"]
    reason = "not fitted: 0 of 216 validation images are positive"
    expected = {"kind": "mean", "slice_weight": 0.5, "context_weight": 0.5, "intercept": 0.0, "reason": reason}
    assert fusion == expected


def test_images_of_a_table_keep_their_scores(make_cohort):
    predictions, truth = make_cohort(20, seed=1, split="external")
    decisions = fit_decisions(predictions, truth, CONFIG)
    assert decisions.scored(predictions) is predictions
    assert decisions.image_fusion.reason == "not fitted: no logits of images on validation"
