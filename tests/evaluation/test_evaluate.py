import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from pectl.config import EvaluateConfig
from pectl.core.decisions.consistency import violations
from pectl.core.decisions.decisions import fit_decisions
from pectl.core.decisions.image_fusion import ImageFusion
from pectl.core.labels.names import ALL_STUDIES, EXAM_LABELS
from pectl.core.labels.predictions import as_competition
from pectl.core.labels.predictions_csv import read_predictions
from pectl.errors import PredictionsError
from pectl.evaluation.competition import competition_loss
from pectl.evaluation.evaluate import evaluate

CONFIG = EvaluateConfig(bootstrap_replicates=200, prevalence=0.1)
DESIGN_KEYS = {
    "n",
    "n_positive",
    "auroc",
    "auroc_ci",
    "ci_method",
    "average_precision",
    "threshold",
    "sensitivity",
    "sensitivity_ci",
    "specificity",
    "specificity_ci",
    "brier",
    "ece",
}


@pytest.fixture
def decisions(make_cohort):
    return fit_decisions(*make_cohort(150, seed=1, split="val"), CONFIG)


@pytest.fixture
def judged(make_cohort):
    return make_cohort(120, seed=2)


@pytest.fixture
def run(tmp_path):
    def _run(predictions, truth, decisions, config=CONFIG, **lineage):
        return evaluate(predictions, truth, decisions, config, out=tmp_path, lineage=lineage, seed=7)

    return _run


def test_metrics_json_follows_the_schema(run, judged, decisions, tmp_path):
    result = run(*judged, decisions, stage2="abc")
    assert json.loads((tmp_path / "metrics.json").read_text()) == result
    assert result["split"] == "test"
    assert result["n_studies"] == 120
    assert set(result["exam"]) == {*EXAM_LABELS, *ALL_STUDIES, "pe_present", "pe_present_as_negative"}
    assert set(result["window"]) == {"pe_present", "pe_present_stage1"}
    assert set(result["image"]) == {"pe_present"}
    blocks = [*result["exam"].values(), *result["window"].values(), *result["image"].values()]
    assert all(set(block) >= DESIGN_KEYS for block in blocks)
    assert result["lineage"] == {"stage2": "abc"}
    assert result["paper"] is None
    assert result["missing"] == []


def test_numbers_are_those_of_scikit_learn(run, judged, decisions):
    predictions, truth = judged
    result = run(predictions, truth, decisions)
    for name in EXAM_LABELS:
        known = truth[name].notna()
        label, score = truth[name][known], predictions.exam[name][known]
        block = result["exam"][name]
        assert (block["n"], block["n_positive"]) == (known.sum(), label.sum())
        assert block["auroc"] == pytest.approx(roc_auc_score(label, score), abs=1e-12)
        assert block["average_precision"] == pytest.approx(average_precision_score(label, score), abs=1e-12)
        calibrated = decisions.calibrated(predictions.exam)[name][known]
        called = calibrated >= block["threshold"]
        assert block["sensitivity"] == pytest.approx(called[label == 1].mean())
        assert block["brier"] == pytest.approx(np.mean((calibrated - label) ** 2))
        assert block["ci_method"] == "delong"
    window = predictions.window
    for key, column in (("pe_present", "score"), ("pe_present_stage1", "stage1_score")):
        block = result["window"][key]
        assert block["auroc"] == pytest.approx(roc_auc_score(window["label"], window[column]), abs=1e-12)
        assert block["ci_method"] == "clustered-delong"
        low, high = block["auroc_ci_bootstrap"]
        assert low < block["auroc"] < high


def test_indeterminate_studies_are_counted_both_ways(run, judged, decisions):
    predictions, truth = judged
    score = (1 - predictions.exam["negative_exam_for_pe"]) * (1 - predictions.exam["indeterminate"])
    indeterminate = truth["indeterminate"] == 1
    present = (truth["negative_exam_for_pe"] == 0) & ~indeterminate
    excluded = roc_auc_score(present[~indeterminate], score[~indeterminate])
    as_negative = roc_auc_score(present, score)
    first = run(predictions, truth, decisions)["exam"]
    assert first["pe_present"]["auroc"] == pytest.approx(excluded, abs=1e-12)
    assert first["pe_present_as_negative"]["auroc"] == pytest.approx(as_negative, abs=1e-12)
    config = EvaluateConfig(bootstrap_replicates=200, indeterminate="as-negative")
    second = run(predictions, truth, decisions, config)["exam"]
    assert second["pe_present"]["auroc"] == pytest.approx(as_negative, abs=1e-12)
    assert second["pe_present_excluded"]["auroc"] == pytest.approx(excluded, abs=1e-12)


def test_the_band_sorts_every_study_into_three(run, judged, decisions):
    block = run(*judged, decisions)["exam"]["pe_present"]
    band = block["band"]
    assert sum(band["with_pe"].values()) == block["n_positive"]
    assert sum(band["without_pe"].values()) == block["n"] - block["n_positive"]
    assert (band["rule_out"], band["miss_rate_bound"]) == (decisions.band.rule_out, 0.05)


def test_what_is_known_of_the_studies_makes_subgroups(run, judged, decisions):
    predictions, truth = judged
    kernels = truth.assign(kernel=np.where(np.arange(len(truth)) % 2, "A", "B")).sample(frac=1, random_state=0)
    rows = [row for row in run(predictions, kernels, decisions)["subgroups"] if row["attribute"] == "kernel"]
    assert [row["value"] for row in rows] == ["A", "B"]
    whole = run(predictions, truth, decisions)["exam"]["pe_present"]
    assert sum(row["n"] for row in rows) == whole["n"]
    assert sum(row["n_positive"] for row in rows) == whole["n_positive"]
    chosen = truth.index[np.arange(len(truth)) % 2 == 1]
    half = run(replace(predictions, exam=predictions.exam.loc[chosen]), truth, decisions)
    assert rows[0]["auroc"] == half["exam"]["pe_present"]["auroc"]


def test_predictive_values_at_the_prevalence_asked_for(run, judged, decisions):
    block = run(*judged, decisions)["exam"]["pe_present"]
    hit, false_alarm = 0.1 * block["sensitivity"], 0.9 * (1 - block["specificity"])
    assert block["ppv_at_prevalence"] == pytest.approx(hit / (hit + false_alarm))
    assert block["prevalence"] == 0.1


def test_the_same_seed_gives_the_same_bytes(run, judged, decisions, tmp_path):
    run(*judged, decisions)
    first = (tmp_path / "metrics.json").read_bytes()
    run(*judged, decisions)
    assert (tmp_path / "metrics.json").read_bytes() == first


def test_tables_hold_what_was_judged(run, judged, decisions, tmp_path):
    predictions, truth = judged
    result = run(predictions, truth, decisions)
    exam = pd.read_csv(tmp_path / "exam.csv", index_col="StudyInstanceUID")
    for name in EXAM_LABELS:
        np.testing.assert_allclose(exam[f"{name}_raw"], predictions.exam[name], rtol=1e-8)
        np.testing.assert_array_equal(exam[f"{name}_truth"], truth[name])
    consistent = exam[[f"{name}_consistent" for name in EXAM_LABELS]].set_axis(list(EXAM_LABELS), axis=1)
    image = pd.read_csv(tmp_path / "image.csv")
    after = image.assign(score=image["consistent"])
    assert not violations(consistent, after).any()
    assert result["consistency"]["violations"] == 0
    assert result["consistency"]["violations_before"] > 0
    says_pe = (consistent[["negative_exam_for_pe", "indeterminate"]] <= 0.5).all(axis=1)
    assert ((exam["pe_present_consistent"] > 0.5) == says_pe).all()
    loss = competition_loss(truth, consistent, after)
    assert result["competition"]["weighted_log_loss"] == pytest.approx(loss.total, abs=1e-8)
    assert len(pd.read_csv(tmp_path / "window.csv")) == 360


def test_submission_has_the_ids_of_the_competition(run, judged, decisions, tmp_path):
    run(*judged, decisions)
    table = pd.read_csv(tmp_path / "submission.csv")
    assert list(table.columns) == ["id", "label"]
    assert len(table) == 120 * 9 + 120 * 12
    assert {"test2-0000_acute_and_chronic_pe", "test2-0119.11"} <= set(table["id"])


def test_calibrated_predictions_can_be_judged_again_together_with_others(run, judged, decisions, tmp_path):
    predictions, truth = judged
    halves = predictions.exam.index[:50], predictions.exam.index[50:]
    for place, uids in enumerate(halves):
        part = replace(predictions, exam=predictions.exam.loc[uids], window=None, image=None, rv_lv="given-pe")
        run(part, truth, decisions)
        (tmp_path / "predictions.csv").rename(tmp_path / f"{place}.csv")
    pooled = read_predictions([tmp_path / "0.csv", tmp_path / "1.csv"])
    calibrated = decisions.calibrated(predictions.exam, "given-pe")
    expected = as_competition(calibrated, "given-pe")[list(EXAM_LABELS)]
    pd.testing.assert_frame_equal(pooled.exam, expected, check_exact=False, rtol=1e-7, check_names=False)
    assert run(pooled, truth, None)["n_studies"] == 120


def test_without_validation_nothing_is_fitted_and_it_is_said(run, judged):
    predictions, truth = judged
    bare = replace(predictions, split="external", window=None, image=None, notes=("a note",))
    result = run(bare, truth, None)
    assert result["decisions"] == "thresholds fixed at 0.5, nothing calibrated"
    assert all(block["threshold"] == 0.5 for block in result["exam"].values())
    assert result["window"] is result["image"] is None
    assert result["missing"] == [
        "no window predictions: the window level isn't measured",
        "no image predictions: the image level isn't measured",
    ]
    assert result["notes"] == ["a note"]


def test_images_alone(run, judged):
    predictions, truth = judged
    result = run(replace(predictions, exam=predictions.exam.iloc[:0], window=None), truth, None)
    assert result["exam"] is None
    assert result["image"]["pe_present"]["n"] == 1440
    assert result["n_studies"] == 120
    assert result["competition"]["exam_log_loss"] is None
    assert result["competition"]["weighted_log_loss"] == result["competition"]["image_log_loss"]


def test_one_class_is_null_with_its_reason(run, judged, decisions):
    predictions, truth = judged
    block = run(predictions, truth.assign(chronic_pe=0.0), decisions)["exam"]["chronic_pe"]
    assert block["auroc"] is block["auroc_ci"] is block["ci_method"] is block["sensitivity"] is None
    assert block["specificity"] is not None
    assert block["reason"].startswith("0 of 120 are positive: auroc, auroc_ci, average_precision, sensitivity")


def test_labels_that_nobody_knows_are_null_with_their_reason(run, judged):
    predictions, truth = judged
    window, image = (part.assign(label=-1) for part in (predictions.window, predictions.image))
    result = run(replace(predictions, window=window, image=image), truth * np.nan, None)
    assert result["exam"]["central_pe"]["n"] == 0
    assert result["window"]["pe_present"]["reason"].startswith("no labelled cases: auroc")
    assert result["competition"]["weighted_log_loss"] is None


def test_separated_classes_get_an_interval_with_a_width(run, judged):
    predictions, truth = judged
    perfect = predictions.window.assign(score=predictions.window["label"] * 0.8 + 0.1)
    result = run(replace(predictions, window=perfect), truth, None)["window"]["pe_present"]
    assert (result["auroc"], result["ci_method"]) == (1.0, "newcombe")
    assert result["auroc_ci"][0] < 0.99
    assert result["sensitivity_ci"][0] < 0.97


def test_paper_figures_only_beside_the_papers_split(run, judged, decisions):
    paper = run(*judged, decisions, split_method="ma2022")["paper"]
    assert paper["exam"]["central_pe"] == {"auroc": 0.948, "auroc_ci": [0.926, 0.969]}
    assert paper["window"]["pe_present"]["sensitivity"] == 0.86
    assert run(*judged, decisions, split_method="stratified")["paper"] is None


@pytest.mark.parametrize("rv_lv", ["with-pe", "given-pe"])
def test_rv_lv_in_all_studies_is_absent_without_pe(run, judged, decisions, rv_lv):
    predictions, truth = judged
    result = run(replace(predictions, rv_lv=rv_lv), truth, decisions, split_method="ma2022")
    exam = predictions.exam
    given = (1 - exam["negative_exam_for_pe"]) * (1 - exam["indeterminate"]) if rv_lv == "given-pe" else 1.0
    for name in ("rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1"):
        block = result["exam"][f"{name}_all_studies"]
        assert block["n"] == 120
        assert block["auroc"] == pytest.approx(roc_auc_score(truth[name].fillna(0), exam[name] * given))
        assert name not in result["paper"]["exam"]
        assert f"{name}_all_studies" in result["paper"]["exam"]


def given_pe(predictions):
    """The predictions as of a model of ours: RV/LV is one answer given PE."""
    exam = predictions.exam.assign(rv_lv_ratio_lt_1=1 - predictions.exam["rv_lv_ratio_gte_1"])
    return replace(predictions, exam=exam, rv_lv="given-pe")


def test_rv_lv_given_pe_is_submitted_as_pe_with_that_ratio(run, judged, decisions, tmp_path):
    predictions, truth = judged
    result = run(given_pe(predictions), truth, decisions)
    exam = pd.read_csv(tmp_path / "exam.csv", index_col="StudyInstanceUID")
    large, small = (
        exam[[f"{name}_{version}" for version in ("raw", "calibrated", "consistent")]].to_numpy()
        for name in ("rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1")
    )
    pe = exam["pe_present_consistent"].to_numpy()
    np.testing.assert_allclose((large + small)[:, :2], 1.0, atol=1e-8)
    np.testing.assert_allclose((large + small)[:, 2], pe, atol=1e-8)
    says_pe = (exam[["negative_exam_for_pe_consistent", "indeterminate_consistent"]] <= 0.5).all(axis=1).to_numpy()
    assert ((pe > 0.5) == says_pe).all()
    joint = large[:, 1] * exam["pe_present_calibrated"].to_numpy()
    untouched = np.abs(large[:, 2] - joint) < 1e-8
    assert 40 < untouched.sum() < 120
    assert says_pe[~untouched].any()
    submitted = pd.read_csv(tmp_path / "submission.csv", index_col="id")["label"]
    for version, column in (("gte", large), ("lt", small)):
        wanted = submitted[[f"{uid}_rv_lv_ratio_{version}_1" for uid in exam.index]]
        np.testing.assert_array_equal(wanted, column[:, 2])
    judged_again = pd.read_csv(tmp_path / "predictions.csv", index_col="StudyInstanceUID")
    np.testing.assert_allclose(judged_again["rv_lv_ratio_gte_1"], joint, atol=1e-8)
    blocks = [result["exam"][name] for name in ("rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1")]
    assert blocks[0]["auroc"] == pytest.approx(blocks[1]["auroc"], abs=1e-12)


def test_the_validation_split_is_refused_and_nothing_written(run, make_cohort, decisions, tmp_path):
    with pytest.raises(PredictionsError, match="studies that the decisions weren't fitted on"):
        run(*make_cohort(150, seed=1, split="val"), decisions)
    assert list(tmp_path.iterdir()) == []


def with_logits(predictions, logits):
    """The predictions as of a model of ours: images have logits, and no score yet."""
    return replace(predictions, image=predictions.image.drop(columns="score"), image_logits=logits)


def test_images_are_measured_by_what_the_decisions_make_of_their_logits(run, judged, decisions, tmp_path):
    predictions, truth = judged
    logits = np.random.default_rng(0).normal(size=(len(predictions.image), 2))
    fused = replace(decisions, image_fusion=ImageFusion("logistic", 0.984, 0.406, -0.909))
    result = run(with_logits(predictions, logits), truth, fused)
    table = pd.read_csv(tmp_path / "image.csv")
    wanted = 1 / (1 + np.exp(-(0.984 * logits[:, 0] + 0.406 * logits[:, 1] - 0.909)))
    assert list(table) == ["StudyInstanceUID", "SOPInstanceUID", "score", "label", "consistent"]
    assert table["score"].to_numpy() == pytest.approx(wanted, abs=1e-8)
    assert result["image"]["pe_present"]["auroc"] == pytest.approx(roc_auc_score(table["label"], table["score"]))
    assert result["notes"] == []


def test_images_scored_without_a_fit_are_noted(run, judged, decisions):
    predictions, truth = judged
    given = with_logits(predictions, np.zeros((len(predictions.image), 2)))
    unfitted = replace(decisions, image_fusion=ImageFusion(reason="not fitted: 0 of 9 validation images are positive"))
    noted = "images are scored by the mean of the logits of slice and windows"
    assert run(given, truth, unfitted)["notes"] == [f"{noted} (not fitted: 0 of 9 validation images are positive)"]
    assert run(given, truth, None)["notes"] == [f"{noted} (not fitted)"]
    assert run(predictions, truth, unfitted)["notes"] == []
