import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pectl.config import EvaluateConfig
from pectl.core.labels.names import EXAM_LABELS
from pectl.core.statistics.delong import auc_covariance
from pectl.errors import InputMissingError, PredictionsError, StoreError
from pectl.evaluation.compare import compare, holm
from pectl.evaluation.evaluate import evaluate

CONFIG = EvaluateConfig(bootstrap_replicates=200)


@pytest.fixture
def judged(make_cohort):
    return make_cohort(100, seed=2)


@pytest.fixture
def evaluated(tmp_path):
    def _evaluated(name, predictions, truth):
        evaluate(predictions, truth, None, CONFIG, out=tmp_path / name, lineage={}, seed=0)
        return tmp_path / name

    return _evaluated


def _noisy(predictions, seed=5):
    rng = np.random.default_rng(seed)
    exam = predictions.exam * 0.5 + 0.5 * rng.random(predictions.exam.shape)
    image = predictions.image.assign(score=0.5 * predictions.image["score"] + 0.5 * rng.random(len(predictions.image)))
    return replace(predictions, exam=exam, image=image)


def test_differences_are_those_of_paired_delong(judged, evaluated, tmp_path):
    predictions, truth = judged
    noisy = _noisy(predictions)
    folders = evaluated("a", predictions, truth), evaluated("b", noisy, truth)
    result = compare(*folders, CONFIG, out=tmp_path / "c", seed=1)
    rows = {(row["level"], row["label"]): row for row in result["rows"]}
    assert len(rows) == 12
    label = truth["central_pe"].to_numpy() == 1
    scores = np.stack([predictions.exam["central_pe"], noisy.exam["central_pe"]])
    difference, z, p = auc_covariance(label, scores).paired_test()
    row = rows["study", "central_pe"]
    assert row["difference"] == pytest.approx(difference, abs=1e-9)
    assert row["z"] == pytest.approx(z, abs=1e-6)
    assert row["p"] == pytest.approx(p, abs=1e-6)
    assert row["auroc_b"] == pytest.approx(roc_auc_score(label, scores[1]), abs=1e-9)
    low, high = row["difference_ci"]
    assert (high - low) / 2 == pytest.approx(1.959964 * difference / z, rel=1e-4)
    assert row["difference_ci_bootstrap"] == pytest.approx(row["difference_ci"], abs=0.04)
    assert result["n_studies"] == 100


def test_images_are_compared_with_clusters(judged, evaluated, tmp_path):
    predictions, truth = judged
    noisy = _noisy(predictions)
    folders = evaluated("a", predictions, truth), evaluated("b", noisy, truth)
    rows = compare(*folders, CONFIG, out=tmp_path / "c", seed=1)["rows"]
    row = next(row for row in rows if row["level"] == "image")
    image = predictions.image
    study, _ = pd.factorize(image["StudyInstanceUID"])
    scores = np.stack([image["score"], noisy.image["score"]])
    _, z, _ = auc_covariance(image["label"].to_numpy() == 1, scores, study).paired_test()
    assert row["z"] == pytest.approx(z, abs=1e-6)


def test_one_positive_study_leaves_no_test_and_says_why(judged, evaluated, tmp_path):
    predictions, truth = judged
    truth = truth.copy()
    chronic = truth.index[truth["chronic_pe"] == 1]
    truth.loc[chronic[1:], "chronic_pe"] = 0
    folders = evaluated("a", predictions, truth), evaluated("b", _noisy(predictions), truth)
    rows = compare(*folders, CONFIG, out=tmp_path / "c", seed=1)["rows"]
    row = next(row for row in rows if row["label"] == "chronic_pe")
    assert (row["n_positive"], row["p"], row["difference_ci"]) == (1, None, None)
    assert row["reason"] == "a class with one member has no variance"


def test_a_model_against_itself_shows_no_difference(judged, evaluated, tmp_path):
    folder = evaluated("a", *judged)
    rows = compare(folder, folder, CONFIG, out=tmp_path / "c", seed=1)["rows"]
    assert all(row["difference"] == 0 and row["p"] is None and row["p_holm"] is None for row in rows)
    assert rows[0]["reason"] == "both rank alike: the difference has no spread"


def test_only_shared_studies_are_compared(judged, evaluated, tmp_path):
    predictions, truth = judged
    bare = replace(predictions, window=None, image=None)
    first = evaluated("a", replace(bare, exam=bare.exam.iloc[:80]), truth)
    second = evaluated("b", replace(_noisy(predictions), window=None, image=None), truth)
    result = compare(first, second, CONFIG, out=tmp_path / "c", seed=1)
    assert result["n_studies"] == 80
    assert [row["level"] for row in result["rows"]] == ["study"] * 10
    assert result["rows"][1]["n"] == 80


def test_tables_are_written(judged, evaluated, tmp_path):
    predictions, truth = judged
    folders = evaluated("a", predictions, truth), evaluated("b", _noisy(predictions), truth)
    result = compare(*folders, CONFIG, out=tmp_path / "c", seed=1)
    assert json.loads((tmp_path / "c/comparison.json").read_text()) == result
    table = pd.read_csv(tmp_path / "c/comparison.csv")
    assert table["label"].tolist()[:3] == ["pe_present", *EXAM_LABELS[:2]]
    assert table["difference_ci_low"][0] == pytest.approx(result["rows"][0]["difference_ci"][0])


def test_one_class_is_null_with_its_reason(judged, evaluated, tmp_path):
    predictions, truth = judged
    truth = truth.assign(chronic_pe=0.0)
    folders = evaluated("a", predictions, truth), evaluated("b", _noisy(predictions), truth)
    rows = compare(*folders, CONFIG, out=tmp_path / "c", seed=1)["rows"]
    row = next(row for row in rows if row["label"] == "chronic_pe")
    assert row["auroc_a"] is row["p_holm"] is None
    assert row["reason"] == "0 of 100 are positive"


def test_holm_by_hand():
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_other_studies_are_refused(make_cohort, evaluated, tmp_path):
    folders = evaluated("a", *make_cohort(20, seed=2)), evaluated("b", *make_cohort(20, seed=3))
    message = r"rows of exam\.csv that both have, found none, as one has test2-0000 and the other test3-0000"
    with pytest.raises(PredictionsError, match=message):
        compare(*folders, CONFIG, out=tmp_path / "c", seed=1)


def test_another_truth_is_refused(judged, evaluated, tmp_path):
    predictions, truth = judged
    changed = truth.copy()
    changed.iloc[0] = 1 - changed.iloc[0]
    folders = evaluated("a", predictions, truth), evaluated("b", predictions, changed)
    with pytest.raises(
        PredictionsError, match="the same truth in both evaluations, found 1 that differ, such as test2-0000"
    ):
        compare(*folders, CONFIG, out=tmp_path / "c", seed=1)


def test_levels_that_only_one_has_are_refused(judged, evaluated, tmp_path):
    predictions, truth = judged
    images = evaluated("a", replace(predictions, exam=predictions.exam.iloc[:0], window=None), truth)
    exams = evaluated("b", replace(predictions, image=None, window=None), truth)
    with pytest.raises(PredictionsError, match="expected a level that both measured, found none"):
        compare(images, exams, CONFIG, out=tmp_path / "c", seed=1)


def test_missing_files_are_named(judged, evaluated, tmp_path):
    folder = evaluated("a", *judged)
    with pytest.raises(StoreError, match=r"nowhere/metrics\.json"):
        compare(folder, tmp_path / "nowhere", CONFIG, out=tmp_path / "c", seed=1)
    (folder / "exam.csv").unlink()
    with pytest.raises(InputMissingError, match=r"exam\.csv: expected a table that pectl evaluate writes"):
        compare(folder, folder, CONFIG, out=tmp_path / "c", seed=1)
