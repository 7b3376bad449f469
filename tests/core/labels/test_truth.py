"""Labels of any table, or of several, that predictions are judged by."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pectl.core.labels.names import EXAM_LABELS, QA_LABELS
from pectl.core.labels.table import read_labels
from pectl.core.labels.truth import Truth, read_truth
from pectl.errors import LabelsError

STUDIES = {
    "a1": {"rv_lv_ratio_lt_1": 1, "leftsided_pe": 1},
    "b2": {"negative_exam_for_pe": 1, "flow_artifact": 1},
    "c3": {"indeterminate": 1, "qa_motion": 1},
}


def studies(**changes: object) -> pd.DataFrame:
    rows = pd.DataFrame(STUDIES.values(), columns=[*EXAM_LABELS, *QA_LABELS]).fillna(0).astype(int)
    rows.insert(0, "StudyInstanceUID", list(STUDIES))
    return rows.assign(**changes)


def exams(**changes: object) -> pd.DataFrame:
    return studies().drop(columns=list(QA_LABELS)).assign(**changes)


def images() -> pd.DataFrame:
    uids = np.repeat(list(STUDIES), 2)
    sops = [f"{uid}.{k % 2}" for k, uid in enumerate(uids)]
    columns = {"StudyInstanceUID": uids, "SOPInstanceUID": sops, "pe_present_on_image": [0, 1, 0, 0, 0, 0]}
    return pd.DataFrame(columns)


def train_csv() -> pd.DataFrame:
    return images().merge(studies(), on="StudyInstanceUID").assign(SeriesInstanceUID="s")


def truth_of(folder: Path, *tables: pd.DataFrame, **options: object) -> Truth:
    paths = [folder / f"{k}.csv" for k in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        table.to_csv(path, index=False, **options)
    return read_truth(paths)


def test_train_csv_is_read_as_a_labels_table(tmp_path):
    truth = truth_of(tmp_path, train_csv())
    labels = read_labels(tmp_path / "0.csv")
    pd.testing.assert_frame_equal(truth.exam, labels.exam)
    pd.testing.assert_series_equal(truth.image, labels.image)


def test_rows_of_studies_need_no_images_and_no_qa_labels(tmp_path):
    truth = truth_of(tmp_path, exams())
    assert truth.image is None
    expected = pd.DataFrame(
        [[0, 0, 0, 0, 0, 1, 0, 0, 1], [1, 0, 0, 0, 0, 0, 0, np.nan, np.nan], [0, 1, 0, 0, 0, 0, 0, np.nan, np.nan]],
        index=pd.Index(list(STUDIES), name="StudyInstanceUID"),
        columns=list(EXAM_LABELS),
        dtype=float,
    )
    pd.testing.assert_frame_equal(truth.exam, expected)
    assert list(truth_of(tmp_path, studies()).exam.columns) == [*EXAM_LABELS, *QA_LABELS]


def test_rows_of_images_without_exam_labels_tell_of_images_alone(tmp_path):
    truth = truth_of(tmp_path, images())
    assert truth.exam.empty
    assert list(truth.exam.columns) == list(EXAM_LABELS)
    assert truth.image.loc[("a1", "a1.1")] == 1
    assert truth.image.sum() == 1


def test_rows_of_images_may_bring_exam_labels_without_qa_labels(tmp_path):
    truth = truth_of(tmp_path, train_csv().drop(columns=list(QA_LABELS)))
    pd.testing.assert_frame_equal(truth.exam, truth_of(tmp_path, exams()).exam)
    assert truth.image.sum() == 1


def test_several_tables_are_put_together(tmp_path):
    properties = pd.DataFrame(
        {"StudyInstanceUID": ["c3", "a1", "z9"], "kernel": ["B", "A", "Z"], "slice_step_mm": [1.25, "", 3], "x": "ok"}
    )
    truth = truth_of(tmp_path, exams(n_pe_slices=[1, 0, -1])[:2], images(), exams()[2:], properties)
    assert truth.exam.index.tolist() == ["a1", "b2", "c3"]
    assert truth.exam["kernel"].tolist()[::2] == ["A", "B"]
    assert pd.isna(truth.exam.loc["b2", "kernel"])
    assert truth.exam.loc["c3", "slice_step_mm"] == 1.25
    assert truth.exam["n_pe_slices"].tolist()[:2] == [1, 0]
    assert truth.exam[["n_pe_slices"]].isna().loc["c3"].all()
    assert truth.image.sum() == 1
    assert "x" not in truth.exam


def test_qa_labels_may_come_from_a_table_of_their_own(tmp_path):
    qa = studies()[["StudyInstanceUID", "flow_artifact"]]
    assert truth_of(tmp_path, exams(), qa).exam["flow_artifact"].tolist() == [0, 1, 0]


def test_what_only_a_public_set_knows_of_a_study_is_kept(tmp_path):
    truth = truth_of(tmp_path, exams(provenance=["rsna", "", "INSPECT"], subgroup=["larger PE", "", ""]))
    assert truth.exam["provenance"].dropna().to_dict() == {"a1": "rsna", "c3": "INSPECT"}
    assert truth.exam["subgroup"].dropna().to_dict() == {"a1": "larger PE"}


def test_undefined_rv_lv_may_be_blank(tmp_path):
    blank = exams().astype({"rv_lv_ratio_lt_1": object, "rv_lv_ratio_gte_1": object})
    blank.loc[1:, ["rv_lv_ratio_lt_1", "rv_lv_ratio_gte_1"]] = ""
    pd.testing.assert_frame_equal(truth_of(tmp_path, blank).exam, truth_of(tmp_path, exams()).exam)
    blank.loc[0, "rv_lv_ratio_lt_1"] = ""
    with pytest.raises(LabelsError, match=r"rv_lv_ratio_lt_1 isn't 0 or 1: 1 times \(e.g. row 2"):
        truth_of(tmp_path, blank)


@pytest.mark.parametrize("options", [{"lineterminator": "\r\n"}, {"encoding": "utf-8-sig"}, {"quoting": 1}])
@pytest.mark.parametrize("table", [exams(), train_csv()])
def test_other_programs_files_read_the_same(tmp_path, table, options):
    expected = truth_of(tmp_path, table.astype(str)).exam
    pd.testing.assert_frame_equal(truth_of(tmp_path, table.astype(str), **options).exam, expected)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([exams().drop(columns="central_pe")], "expected the columns StudyInstanceUID, .*, found no central_pe"),
        ([images().drop(columns="StudyInstanceUID")], "found no StudyInstanceUID"),
        ([exams(chronic_pe=[0, 1, 2])], r"chronic_pe isn't 0 or 1: 1 times \(e.g. row 4: 2\)"),
        ([exams(chronic_pe=1)], "a study without PE has none of the seven labels of PE: 2 times"),
        ([studies(qa_motion=[0, 0, 0])], "indeterminate if and only if qa_motion or qa_contrast: 1"),
        ([pd.concat([exams(), exams()[:1]])], r"StudyInstanceUID occurs more than once: 1 times \(e.g. a1\)"),
        ([exams(), exams()[1:]], r"StudyInstanceUID occurs more than once: 2 times \(e.g. b2, c3\)"),
        ([pd.concat([images(), images()[:1]])], r"SOPInstanceUID occurs more than once: 1 times \(e.g. a1.0\)"),
        ([images()[:3], images()[2:]], r"SOPInstanceUID occurs more than once: 1 times \(e.g. b2.0\)"),
        ([exams(), images().assign(pe_present_on_image=0)], "some image shows PE: 1 times"),
        ([train_csv().drop(columns="qa_motion").assign(central_pe=[0, 1, 0, 0, 0, 0])], "differ between its rows: 1"),
        (
            [exams(), exams(kernel="A")[["StudyInstanceUID", "kernel"]].assign(slice_step_mm="thin")],
            r"slice_step_mm isn't a number: 3 times \(e.g. row 2: thin",
        ),
        ([exams(), pd.DataFrame({"StudyInstanceUID": ["a1", "a1"], "kernel": "A"})], "StudyInstanceUID occurs more"),
        ([exams()[:0]], "expected rows, found none"),
        ([exams(StudyInstanceUID=["a1", None, "c3"])], r"StudyInstanceUID is empty: 1 times \(e.g. row 3\)"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, tables, message):
    with pytest.raises(LabelsError, match=message):
        truth_of(tmp_path, *tables)


@pytest.mark.real
def test_real_labels_of_studies_and_of_images(real_data):
    rspect = real_data / "rspect"
    truth = read_truth([rspect / "exam_labels_7279.csv", rspect / "image_rows_90_studies.csv"])
    assert len(truth.exam) == 7279
    assert len(truth.image) == 17350
    assert {"SeriesInstanceUID", "n_pe_slices", *QA_LABELS} <= set(truth.exam.columns)
    counted = truth.image.groupby(level=0).sum()
    told = truth.exam.loc[counted.index, "n_pe_slices"]
    assert (counted[told.notna()] == told[told.notna()]).all()
