"""evaluate, calibrate and compare on tables of any model's predictions, as a user runs them."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from pectl.cli.app import app
from pectl.core.labels.names import EXAM_LABELS
from pectl.core.labels.splits import ma2022
from pectl.errors import LineageError, PredictionsError

FEW = ("--set", "evaluate.bootstrap_replicates=100")


def _run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def tables(make_cohort, tmp_path):
    """Labels of 160 studies, and predictions of the first and the other 80."""
    predictions, truth = make_cohort(160, seed=4)
    truth.fillna(0).astype(int).reset_index().to_csv(tmp_path / "labels.csv", index=False)
    wide = predictions.exam.reset_index()
    wide[:80].to_csv(tmp_path / "site.csv", index=False)
    wide[80:].to_csv(tmp_path / "rest.csv", index=False)
    return tmp_path


def _evaluate(folder, table, out, *more):
    labels = folder / "labels.csv"
    return _run("evaluate", "--predictions", folder / table, "--labels", labels, "--out", folder / out, *FEW, *more)


def _calibrate(folder, *more):
    table = ("--predictions", folder / "site.csv", "--labels", folder / "labels.csv")
    return _run("calibrate", *table, "--out", folder / "fitted" / "site.json", *more)


def test_a_site_fits_its_decisions_and_applies_them_to_other_studies(tables):
    result = _calibrate(tables, "--target-sensitivity", 0.95)
    assert result.exit_code == 0, result.output
    assert "80 (" in result.output
    assert "target-sensitivity 0.95" in result.output
    fitted = json.loads((tables / "fitted" / "site.json").read_text())
    assert fitted["use"] == "research use only, not for diagnosis"
    assert len(fitted["studies"]) == 80
    result = _evaluate(tables, "rest.csv", "out", "--decisions", tables / "fitted" / "site.json")
    assert result.exit_code == 0, result.output
    metrics = json.loads((tables / "out" / "metrics.json").read_text())
    present = metrics["exam"]["pe_present"]
    assert present["threshold"] == fitted["thresholds"]["pe_present"]["value"]
    assert present["band"]["rule_out"] == fitted["band"]["rule_out"]
    exam = pd.read_csv(tables / "out" / "exam.csv")
    assert (exam["pe_present_calibrated"] != exam["pe_present_raw"]).any()
    assert "labelled predictions of 80 other studies" in (tables / "out" / "report.html").read_text()


def test_the_target_sets_the_bound_on_the_miss_rate_unless_that_is_set(tables):
    def band(*more):
        assert _calibrate(tables, *more).exit_code == 0
        return json.loads((tables / "fitted" / "site.json").read_text())["band"]

    assert band("--target-sensitivity", 0.9)["miss_rate"] == 0.1
    assert band("--target-sensitivity", 0.9, "--set", "evaluate.miss_rate=0.2")["miss_rate"] == 0.2
    assert band()["miss_rate"] == 0.05
    assert "miss_rate = 0.05" in (tables / "fitted" / "site.toml").read_text()
    assert _calibrate(tables, "--target-sensitivity", 95).exit_code == 2


def test_options_of_an_evaluation(tables):
    more = ("--prevalence", 0.1, "--indeterminate", "as-negative")
    assert _evaluate(tables, "rest.csv", "out", "--submission", *more).exit_code == 0
    metrics = json.loads((tables / "out" / "metrics.json").read_text())
    assert metrics["exam"]["pe_present"]["n"] == 80
    assert metrics["exam"]["pe_present_excluded"]["n"] < 80
    assert metrics["exam"]["pe_present"]["prevalence"] == 0.1
    assert metrics["exam"]["pe_present"]["threshold_rule"] == "fixed"
    assert metrics["exam"]["pe_present"]["band"] is None
    assert len(pd.read_csv(tables / "out" / "submission.csv")) == 720
    assert _evaluate(tables, "rest.csv", "out", "--no-submission").exit_code == 0
    assert not (tables / "out" / "submission.csv").exists()
    result = _evaluate(tables, "rest.csv", "out", "--indeterminate", "drop")
    assert result.exit_code == 2
    assert "'exclude', 'as-negative'" in result.output


def test_levels_and_labels_in_tables_of_their_own(make_cohort, tables, tmp_path):
    predictions, truth = make_cohort(160, seed=4)
    images = predictions.image.rename(columns={"label": "pe_present_on_image"})
    images.drop(columns="score").to_csv(tmp_path / "images.csv", index=False)
    scores = predictions.image.rename(columns={"score": "pe_present_on_image"})
    scores[["SOPInstanceUID", "pe_present_on_image"]].to_csv(tmp_path / "scores.csv", index=False)
    kernels = pd.DataFrame({"StudyInstanceUID": truth.index, "kernel": ["A", "B"] * 80})
    kernels.to_csv(tmp_path / "kernels.csv", index=False)
    more = [("--predictions", "scores.csv"), ("--labels", "images.csv"), ("--labels", "kernels.csv")]
    result = _evaluate(tables, "rest.csv", "out", *(part for name, file in more for part in (name, tmp_path / file)))
    assert result.exit_code == 0, result.output
    metrics = json.loads((tables / "out" / "metrics.json").read_text())
    assert metrics["image"]["pe_present"]["n"] == 160 * 12
    assert metrics["exam"]["pe_present"]["ci_method"] == "delong"
    assert metrics["image"]["pe_present"]["ci_method"] == "clustered-delong"
    assert {row["value"] for row in metrics["subgroups"] if row["attribute"] == "kernel"} == {"A", "B"}
    assert metrics["missing"] == ["no window predictions: the window level isn't measured"]
    assert "80 studies have exam predictions, 160 have images" in metrics["notes"][-1]
    assert metrics["lineage"]["predictions"].startswith("rest.csv (sha256 ")


def test_a_cohort_of_the_papers_split_is_recognised(tables, monkeypatch):
    monkeypatch.setattr("pectl.core.labels.splits._MA2022_HELD_OUT", 40)
    labels = pd.read_csv(tables / "labels.csv").assign(SeriesInstanceUID="s")
    labels.to_csv(tables / "labels.csv", index=False)
    ids = [f"{uid}_s" for uid in labels["StudyInstanceUID"]]
    splits = ma2022(ids)
    wide = pd.concat([pd.read_csv(tables / f"{name}.csv") for name in ("site", "rest")])
    test = wide["StudyInstanceUID"].isin(splits.index[splits == "test"])
    wide[test].to_csv(tables / "test.csv", index=False)
    assert _evaluate(tables, "test.csv", "out").exit_code == 0
    paper = json.loads((tables / "out" / "metrics.json").read_text())["paper"]
    assert paper["exam"]["central_pe"]["auroc"] == 0.948
    assert paper["same_studies"] is False  # 160 were split, not the paper's 7,279
    assert "the same split method, other studies" in (tables / "out" / "report.html").read_text()
    assert _evaluate(tables, "rest.csv", "other").exit_code == 0
    assert json.loads((tables / "other" / "metrics.json").read_text())["paper"] is None


def test_studies_that_were_fitted_on_are_not_judged(tables):
    assert _calibrate(tables).exit_code == 0
    result = _evaluate(tables, "site.csv", "out", "--decisions", tables / "fitted" / "site.json")
    assert isinstance(result.exception, PredictionsError)
    assert "80 of them are here" in str(result.exception)
    assert not (tables / "out").exists()


def test_decisions_of_a_run_are_not_for_a_table(tables):
    assert _calibrate(tables).exit_code == 0
    path = tables / "fitted" / "site.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"made_from": {"stage2": "abc"}}))
    result = _evaluate(tables, "rest.csv", "out", "--decisions", path)
    assert isinstance(result.exception, LineageError)


def test_too_few_studies_promise_nothing_and_say_so(tables):
    pd.read_csv(tables / "site.csv")[:12].to_csv(tables / "site.csv", index=False)
    result = _calibrate(tables)
    assert "never: too few studies with PE to promise 0.05" in result.output


@pytest.mark.parametrize("command", ["evaluate", "calibrate"])
@pytest.mark.parametrize("given", [[], ["--predictions", "p.csv"], ["store", "--stage2", "run", "--labels", "l.csv"]])
def test_one_whole_source_is_wanted(tmp_path, command, given):
    result = _run(command, *given, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "give either FEATURES and --stage2" in result.output


def test_tables_are_evaluated_without_what_only_runs_need():
    """It would take seconds and half a gigabyte."""
    heavy = ("torch", "sklearn", "scipy.stats", "scipy.optimize", "scipy.ndimage", "h5py", "matplotlib")
    code = f"import sys, pectl.steps.evaluate; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_two_models_are_compared(tables):
    worse = pd.read_csv(tables / "rest.csv")
    worse[list(EXAM_LABELS)] = worse[list(EXAM_LABELS)].sample(frac=1, random_state=0).to_numpy()
    worse.to_csv(tables / "worse.csv", index=False)
    for name in ("rest", "worse"):
        assert _evaluate(tables, f"{name}.csv", name).exit_code == 0
    result = _run("compare", tables / "rest", tables / "worse", "--out", tables / "compared", *FEW)
    assert result.exit_code == 0, result.output
    rows = {row["label"]: row for row in json.loads((tables / "compared" / "comparison.json").read_text())["rows"]}
    assert rows["pe_present"]["difference"] > 0.1
    assert rows["pe_present"]["p_holm"] < 0.05
    assert "A - B (95% CI)" in result.output
    assert f"{rows['pe_present']['difference']:.3f} (" in result.output
    assert "Research use only" in (tables / "compared" / "comparison.html").read_text()


@pytest.mark.real
def test_another_teams_real_predictions(real_data, tmp_path):
    rspect = real_data / "rspect"
    tables = ("--predictions", rspect / "peer_predictions_fold0.csv", "--labels", rspect / "exam_labels_7279.csv")
    result = _run("evaluate", *tables, "--out", tmp_path, *FEW, "--quiet")
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["exam"]["pe_present"]["n"], metrics["exam"]["pe_present_as_negative"]["n"]) == (1425, 1456)
    consistency = metrics["consistency"]
    assert (consistency["violations"], consistency["violations_before"]) == (0, 116)
    assert abs(consistency["cost"]) < 1e-5 < consistency["clipping_heuristic_cost"]
    assert len(pd.read_csv(tmp_path / "submission.csv")) == 9 * 1456
    slices = {row["value"]: row["n_positive"] for row in metrics["subgroups"] if row["attribute"] == "positive slices"}
    assert sum(slices.values()) > 300
    assert metrics["paper"] is None
