import re

import numpy as np
import pandas as pd
import pytest

from pectl.core.labels.names import EXAM_LABELS
from pectl.core.labels.predictions import Predictions, as_competition, pe_score, pe_truth
from pectl.core.labels.predictions_csv import match_labels, read_predictions
from pectl.core.labels.truth import Truth
from pectl.errors import InputMissingError, PredictionsError


@pytest.fixture
def cohort(make_cohort):
    predictions, truth = make_cohort(8, seed=3)
    image = predictions.image.set_index(["StudyInstanceUID", "SOPInstanceUID"])["label"]
    return predictions, truth, image


def _write(tmp_path, table):
    path = tmp_path / "predictions.csv"
    table.to_csv(path, index=False)
    return path


def _wide(predictions):
    return predictions.exam.reset_index()


def _competition(predictions):
    long = _wide(predictions).melt(id_vars="StudyInstanceUID")
    exam = pd.DataFrame({"id": long["StudyInstanceUID"] + "_" + long["variable"], "label": long["value"]})
    image = predictions.image
    return pd.concat([exam, pd.DataFrame({"id": image["SOPInstanceUID"], "label": image["score"]})])


def test_wide_by_study(tmp_path, cohort):
    predictions, truth, image = cohort
    read = read_predictions([_write(tmp_path, _wide(predictions).sample(frac=1, random_state=0))])
    assert read.split == "external"
    assert read.image is None
    pd.testing.assert_frame_equal(read.exam, predictions.exam, check_exact=False)
    matched, labels = match_labels(read, Truth(truth, image))
    pd.testing.assert_frame_equal(labels, truth, check_freq=False)
    assert matched.notes == ()


def test_competition_layout_splits_exams_from_images(tmp_path, cohort):
    predictions, truth, image = cohort
    read = read_predictions([_write(tmp_path, _competition(predictions).sample(frac=1, random_state=0))])
    pd.testing.assert_frame_equal(read.exam, predictions.exam, check_exact=False)
    matched, _ = match_labels(read, Truth(truth, image))
    expected = predictions.image.sort_values("SOPInstanceUID").reset_index(drop=True)
    found = matched.image.sort_values("SOPInstanceUID").reset_index(drop=True)
    found["StudyInstanceUID"] = found["StudyInstanceUID"].astype(str)
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_exact=False, check_dtype=False)


def test_wide_by_image_with_and_without_exam_labels(tmp_path, cohort):
    predictions, truth, image = cohort
    rows = predictions.image[["SOPInstanceUID", "score"]].rename(columns={"score": "pe_present_on_image"})
    read = read_predictions([_write(tmp_path, rows)])
    assert read.exam.empty
    matched, labels = match_labels(read, Truth(truth, image))
    assert matched.uids() == predictions.uids()
    assert len(labels) == 8
    rows["StudyInstanceUID"] = predictions.image["StudyInstanceUID"]
    both = rows.merge(_wide(predictions), on="StudyInstanceUID")
    read = read_predictions([_write(tmp_path, both)])
    pd.testing.assert_frame_equal(read.exam, predictions.exam, check_exact=False)
    assert len(read.image) == 8 * 12


def test_labels_of_further_studies_are_noted(tmp_path, cohort):
    predictions, truth, image = cohort
    read = read_predictions([_write(tmp_path, _wide(predictions).iloc[:5])])
    matched, labels = match_labels(read, Truth(truth, image))
    assert len(labels) == 5
    assert matched.notes == ("3 labelled studies have no prediction and are left out",)


def test_no_file_and_no_csv(tmp_path):
    with pytest.raises(
        InputMissingError, match=r"none\.csv: expected a table of predictions \(CSV\), found no such file"
    ):
        read_predictions([tmp_path / "none.csv"])
    path = tmp_path / "broken.csv"
    for content, found in (
        ("id,label\n", "expected rows, found none"),
        ("id,label\na,0.5\n,0.5\n", "expected id in every row, found 1 rows without: lines 3"),
    ):
        path.write_text(content)
        with pytest.raises(PredictionsError, match=found):
            read_predictions([path])


@pytest.mark.parametrize(
    "options",
    [{"lineterminator": "\r\n"}, {"encoding": "utf-8-sig"}, {"float_format": "%.15e"}, {"quoting": 1}],
)
@pytest.mark.parametrize("layout", [lambda p: _wide(p).assign(note="x", rank=7), lambda p: _competition(p)])
def test_other_programs_files_read_the_same(tmp_path, cohort, options, layout):
    expected = read_predictions([_write(tmp_path, layout(cohort[0]))])
    layout(cohort[0]).to_csv(tmp_path / "other.csv", index=False, **options)
    read = read_predictions([tmp_path / "other.csv"])
    pd.testing.assert_frame_equal(read.exam, expected.exam, rtol=1e-12)
    assert (read.image is None) == (expected.image is None)


def test_levels_in_files_of_their_own_are_put_together(tmp_path, cohort):
    predictions, truth, image = cohort
    rows = predictions.image[["SOPInstanceUID", "score"]].rename(columns={"score": "pe_present_on_image"})
    paths = [tmp_path / f"{name}.csv" for name in ("first", "rest", "images")]
    for path, table in zip(paths, (_wide(predictions)[:3], _wide(predictions)[3:], rows), strict=True):
        table.to_csv(path, index=False)
    matched, _ = match_labels(read_predictions(paths), Truth(truth, image))
    pd.testing.assert_frame_equal(matched.exam, predictions.exam)
    assert len(matched.image) == len(predictions.image)
    assert matched.notes == ()
    with pytest.raises(PredictionsError, match="found 3 rows that repeat one, such as test3-0000"):
        read_predictions([paths[0], *paths])
    with pytest.raises(PredictionsError, match="found 96 rows that repeat one"):
        read_predictions([*paths, paths[2]])
    few, _ = match_labels(read_predictions([paths[0], paths[2]]), Truth(truth, image))
    assert few.notes == ("the levels cover different studies: 3 studies have exam predictions, 8 have images",)


def test_images_alone_need_no_exam_labels(tmp_path, cohort):
    predictions, _, image = cohort
    rows = predictions.image[["SOPInstanceUID", "score"]].rename(columns={"score": "pe_present_on_image"})
    no_exams = Truth(pd.DataFrame(columns=list(EXAM_LABELS), dtype=float), image)
    matched, labels = match_labels(read_predictions([_write(tmp_path, rows)]), no_exams)
    assert (matched.image["label"] == image.to_numpy()).all()
    assert labels.isna().all(axis=None)
    with pytest.raises(PredictionsError, match="studies that have exam labels, found 8 without, of 8"):
        match_labels(read_predictions([_write(tmp_path, _competition(predictions))]), no_exams)


def test_missing_columns_are_named(tmp_path, cohort):
    table = _wide(cohort[0]).drop(columns=["central_pe", "indeterminate"])
    with pytest.raises(
        PredictionsError, match=r"found no indeterminate, central_pe among StudyInstanceUID, .*; add them"
    ):
        read_predictions([_write(tmp_path, table)])


@pytest.mark.parametrize(
    ("value", "shown"), [(1.2, "1.2"), (-0.01, "-0.01"), (np.nan, "empty"), (np.inf, "inf"), ("high", "high")]
)
def test_values_that_are_no_probability_are_named_by_line(tmp_path, cohort, value, shown):
    table = _wide(cohort[0]).astype(object)
    table.loc[[2, 4], "chronic_pe"] = value
    message = rf"found 2 rows with others: lines 4, 6 \(chronic_pe is {re.escape(shown)}\)"
    with pytest.raises(PredictionsError, match=message):
        read_predictions([_write(tmp_path, table)])


def test_duplicates_are_named(tmp_path, cohort):
    table = _wide(cohort[0])
    twice = pd.concat([table, table.iloc[[0, 1]]])
    message = "found 2 rows that repeat one, such as test3-0000, test3-0001"
    with pytest.raises(PredictionsError, match=message):
        read_predictions([_write(tmp_path, twice)])
    with pytest.raises(PredictionsError, match="rows that repeat one"):
        read_predictions([_write(tmp_path, pd.concat([_competition(cohort[0])] * 2))])


def test_a_study_with_fewer_than_nine_labels_is_named(tmp_path, cohort):
    table = _competition(cohort[0])
    table = table[table["id"] != "test3-0002_acute_and_chronic_pe"]
    with pytest.raises(
        PredictionsError, match="expected nine labels for every study, found 1 without, of 8: test3-0002"
    ):
        read_predictions([_write(tmp_path, table)])


def test_ids_without_labels_are_counted(tmp_path, cohort):
    predictions, truth, image = cohort
    exams = read_predictions([_write(tmp_path, _wide(predictions))])
    with pytest.raises(
        PredictionsError, match=r"studies that have exam labels, found 5 without, of 8: test3-0000, .*\.\.\."
    ):
        match_labels(exams, Truth(truth.iloc[5:], image))
    both = read_predictions([_write(tmp_path, _competition(predictions))])
    with pytest.raises(PredictionsError, match="images that have labels, found 2 without, of 96"):
        match_labels(both, Truth(truth, image.iloc[2:]))
    with pytest.raises(PredictionsError, match="expected labels of images, as there are predictions of images"):
        match_labels(both, Truth(truth, None))


def test_images_of_a_predicted_study_must_be_complete_and_in_their_study(tmp_path, cohort):
    predictions, truth, image = cohort
    table = _competition(predictions)
    read = read_predictions([_write(tmp_path, table[table["id"] != "test3-0001.4"])])
    message = "a prediction for every labelled image of a predicted study, found 1 without, of 95: test3-0001.4"
    with pytest.raises(PredictionsError, match=message):
        match_labels(read, Truth(truth, image))
    rows = predictions.image[["StudyInstanceUID", "SOPInstanceUID", "score"]]
    rows = rows.rename(columns={"score": "pe_present_on_image"})
    rows.loc[0, "StudyInstanceUID"] = "test3-0005"
    moved = read_predictions([_write(tmp_path, rows)])
    with pytest.raises(PredictionsError, match="images in the study that the labels name, found 1 without"):
        match_labels(moved, Truth(truth, image))


def test_pe_present_is_derived_from_negative_and_indeterminate():
    exam = pd.DataFrame([[0.2, 0.5], [1.0, 0.0]], columns=list(EXAM_LABELS[:2]))
    assert pe_score(exam).tolist() == [0.4, 0.0]
    truth = pd.DataFrame([[1, 0], [0, 1], [0, 0], [np.nan, 0]], columns=list(EXAM_LABELS[:2]))
    assert pe_truth(truth, "as-negative").tolist()[:3] == [0, 0, 1]
    excluded = pe_truth(truth, "exclude")
    assert excluded.isna().tolist() == [False, True, False, True]


def test_rv_lv_given_pe_is_turned_into_pe_with_that_ratio(cohort):
    exam = cohort[0].exam.assign(pe_present=0.5)
    assert as_competition(exam, "with-pe") is exam
    turned = as_competition(exam, "given-pe")
    np.testing.assert_allclose(turned["rv_lv_ratio_gte_1"], exam["rv_lv_ratio_gte_1"] / 2)
    pd.testing.assert_series_equal(turned["central_pe"], exam["central_pe"])


def test_uids_cover_every_part(cohort):
    predictions = cohort[0]
    assert Predictions("test", predictions.exam.iloc[:2], window=predictions.window).uids() == predictions.uids()
