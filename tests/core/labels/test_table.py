"""Reading and checking labels tables of RSPECT's form."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pectl.core.labels.names import EXAM_LABELS, QA_LABELS
from pectl.core.labels.table import Labels, inspect_labels, read_labels
from pectl.errors import LabelsError

# the columns of the published train.csv, in its order
COLUMNS = [
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "pe_present_on_image",
    "negative_exam_for_pe",
    "qa_motion",
    "qa_contrast",
    "flow_artifact",
    "rv_lv_ratio_gte_1",
    "rv_lv_ratio_lt_1",
    "leftsided_pe",
    "chronic_pe",
    "true_filling_defect_not_pe",
    "rightsided_pe",
    "acute_and_chronic_pe",
    "central_pe",
    "indeterminate",
]
STUDIES = {
    "b2": {"negative_exam_for_pe": 1, "flow_artifact": 1},
    "a1": {"rv_lv_ratio_lt_1": 1, "leftsided_pe": 1, "central_pe": 1, "chronic_pe": 1},
    "c3": {"indeterminate": 1, "qa_motion": 1},
}


def table() -> pd.DataFrame:
    """Three studies of two images, interleaved; PE on image a1.1 only."""
    rows = [
        {"StudyInstanceUID": uid, "SeriesInstanceUID": f"s{uid}", "SOPInstanceUID": f"{uid}.{image}"}
        | {"pe_present_on_image": int(uid == "a1" and image == 1)}
        | labels
        for image in (0, 1)
        for uid, labels in STUDIES.items()
    ]
    numbers = [column for column in COLUMNS if not column.endswith("UID")]
    return pd.DataFrame(rows, columns=COLUMNS).fillna(dict.fromkeys(numbers, 0)).astype(dict.fromkeys(numbers, int))


def read(frame: pd.DataFrame, folder: Path, **options: str) -> Labels:
    frame.to_csv(folder / "train.csv", index=False, **options)
    return read_labels(folder / "train.csv")


def refusal(frame: pd.DataFrame, folder: Path) -> str:
    with pytest.raises(LabelsError) as caught:
        read(frame, folder)
    return str(caught.value)


def with_labels(uid: str, **labels: int) -> pd.DataFrame:
    frame = table()
    frame.loc[frame["StudyInstanceUID"] == uid, list(labels)] = list(labels.values())
    return frame


def test_exam_labels_are_sorted_by_study_and_rv_lv_is_undefined_without_pe(tmp_path):
    exam = read(table(), tmp_path).exam
    assert list(exam.index) == ["a1", "b2", "c3"]
    assert exam.index.name == "StudyInstanceUID"
    assert list(exam.columns) == [*EXAM_LABELS, *QA_LABELS]
    nan = np.nan
    np.testing.assert_array_equal(
        exam.to_numpy(),
        [
            [0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0],
            [1, 0, 0, 0, 0, 0, 0, nan, nan, 0, 0, 1, 0],
            [0, 1, 0, 0, 0, 0, 0, nan, nan, 1, 0, 0, 0],
        ],
    )


def test_image_labels(tmp_path):
    labels = read(table(), tmp_path)
    assert labels.image.dtype == np.int8
    assert labels.image.index.names == ["StudyInstanceUID", "SOPInstanceUID"]
    assert len(labels.image) == 6
    assert labels.image["a1", "a1.1"] == 1
    assert labels.image.sum() == 1
    assert labels.of_images("a1") == {"a1.0": 0, "a1.1": 1}
    assert labels.of_images("c3") == {"c3.0": 0, "c3.1": 0}
    assert labels.of_images("not there") == {}


def test_every_form_of_the_table_reads_the_same(tmp_path):
    expected = read(table(), tmp_path)
    longer = table().replace({"SOPInstanceUID": {"c3.1": "c3.10"}})
    forms = {
        "line ends": read(table(), tmp_path, lineterminator="\r\n"),
        "column order": read(table()[COLUMNS[::-1]], tmp_path),
        "more columns": read(table().assign(note="x y"), tmp_path),
        "quotes": read(table().assign(note='"'), tmp_path),
        "floats": read(table().astype({"qa_motion": float}), tmp_path),
        "no series": read(table().drop(columns="SeriesInstanceUID"), tmp_path),
    }
    for form, labels in forms.items():
        pd.testing.assert_frame_equal(labels.exam, expected.exam, obj=form)
        pd.testing.assert_series_equal(labels.image, expected.image, obj=form)
    assert read(longer, tmp_path).of_images("c3") == {"c3.0": 0, "c3.10": 0}


def test_missing_columns_are_all_named(tmp_path):
    text = refusal(table().drop(columns=["qa_motion", "SOPInstanceUID", "central_pe"]), tmp_path)
    assert "found no SOPInstanceUID, central_pe, qa_motion;" in text


def test_no_rows(tmp_path):
    assert "expected rows, found none" in refusal(table().iloc[:0], tmp_path)


@pytest.mark.parametrize("value", ["2", "-1", "300", "x", "", "0.5"])
def test_values_other_than_0_and_1(tmp_path, value):
    frame = table().astype({"qa_motion": str})
    frame.loc[3, "qa_motion"] = value
    assert f"qa_motion isn't 0 or 1: 1 times (e.g. row 5: {value or 'nan'})" in refusal(frame, tmp_path)


def test_empty_ids(tmp_path):
    frame = table()
    frame.loc[2, "SOPInstanceUID"] = None
    assert "SOPInstanceUID is empty: 1 times (e.g. row 4)" in refusal(frame, tmp_path)


RULES = [
    ("c3", {"negative_exam_for_pe": 1}, "negative_exam_for_pe and indeterminate exclude each other"),
    ("b2", {"pe_present_on_image": 1}, "a study is positive if and only if some image shows PE"),
    ("a1", {"pe_present_on_image": 0}, "a study is positive if and only if some image shows PE"),
    ("a1", {"rv_lv_ratio_lt_1": 0}, "a positive study has exactly one RV/LV label"),
    ("a1", {"rv_lv_ratio_gte_1": 1}, "a positive study has exactly one RV/LV label"),
    (
        "a1",
        {"leftsided_pe": 0, "central_pe": 0},
        "a positive study has PE on the left, on the right or centrally",
    ),
    ("a1", {"acute_and_chronic_pe": 1}, "chronic_pe and acute_and_chronic_pe exclude each other"),
    *[("b2", {label: 1}, "a study without PE has none of the seven labels of PE") for label in EXAM_LABELS[2:]],
    ("c3", {"qa_motion": 0}, "indeterminate if and only if qa_motion or qa_contrast"),
    ("b2", {"qa_contrast": 1}, "indeterminate if and only if qa_motion or qa_contrast"),
]


@pytest.mark.parametrize(("uid", "labels", "rule"), RULES)
def test_each_broken_rule_is_named_alone(tmp_path, uid, labels, rule):
    text = refusal(with_labels(uid, **labels), tmp_path)
    assert f"found 1 broken: {rule}: 1 times (e.g. {uid});" in text


def test_all_breaches_stand_in_one_error(tmp_path):
    frame = with_labels("a1", acute_and_chronic_pe=1)
    frame.loc[frame["StudyInstanceUID"] == "c3", "qa_motion"] = 0
    frame.loc[4, "central_pe"] = 0  # the second row of a1
    frame.loc[5, "SOPInstanceUID"] = "a1.1"
    text = refusal(frame, tmp_path)
    assert "found 4 broken" in text
    assert "SOPInstanceUID occurs more than once: 1 times (e.g. a1.1)" in text
    assert "labels of the study differ between its rows: 1 times (e.g. a1)" in text
    assert "chronic_pe and acute_and_chronic_pe exclude each other: 1 times (e.g. a1)" in text
    assert re.search(r"indeterminate if and only if qa_motion or qa_contrast: 1 times \(e\.g\. c3\)", text)


def test_at_most_three_examples(tmp_path):
    frame = pd.concat([table()] * 5, ignore_index=True)
    frame["SOPInstanceUID"] = [f"i{row:02}" for row in range(len(frame))]
    frame["StudyInstanceUID"] += [str(row // 6) for row in range(len(frame))]
    frame.loc[frame["StudyInstanceUID"].str.startswith("b2"), "qa_contrast"] = 1
    assert "qa_contrast: 5 times (e.g. b20, b21, b22);" in refusal(frame, tmp_path)


def test_breaches_can_be_had_study_by_study(tmp_path):
    frame = with_labels("a1", acute_and_chronic_pe=1).astype({"qa_motion": str})
    frame.loc[frame["StudyInstanceUID"] == "c3", "qa_motion"] = "maybe"
    frame.loc[4, "SOPInstanceUID"] = None  # of a1
    frame.loc[5, "SOPInstanceUID"] = frame.loc[0, "SOPInstanceUID"]
    frame.to_csv(tmp_path / "train.csv", index=False)
    labels, broken = inspect_labels(tmp_path / "train.csv")
    found = {rule: [breach.study for breach in breaches] for rule, breaches in broken.items() if breaches}
    assert found["SOPInstanceUID is empty"] == [frame.loc[4, "StudyInstanceUID"]]
    assert set(found["qa_motion isn't 0 or 1"]) == {"c3"}
    assert found["SOPInstanceUID occurs more than once"] == [frame.loc[5, "StudyInstanceUID"]]
    follows = ("indeterminate if and only if qa_motion or qa_contrast", "labels of the study differ between its rows")
    assert not any("c3" in found.get(rule, ()) for rule in follows)  # what follows from the wrong value
    assert sorted(labels.exam.index) == ["a1", "b2", "c3"]
    with pytest.raises(LabelsError, match="3 broken"):
        read_labels(tmp_path / "train.csv")
