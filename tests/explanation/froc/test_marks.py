"""Marks of a heat and what they hit, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from pectl.config import EvaluateConfig
from pectl.core.places.truth import PlacesTruth
from pectl.core.statistics.intervals import wilson
from pectl.explanation.froc.emboli import KnownPlace, emboli_of
from pectl.explanation.froc.marks import find_marks
from pectl.explanation.froc.summary import StudyMarks, detections, froc_summary, marks_table, size_title
from pectl.explanation.heat_geometry import grid_to_lps
from tests.explanation.test_masks import explanation_of


@pytest.fixture
def study(make_study):
    made = make_study()  # 3 x 4 x 4 mm
    made.hu[:] = 0
    return made


def explained(study, heat: dict[tuple[int, int, int], float], logits: dict[int, float]):
    """An explanation of this heat, with windows of 4 slices that begin and say as told."""
    values = np.zeros(study.hu.shape, np.float32)
    for voxel, value in heat.items():
        values[voxel] = value
    windows = {"window_start": np.array(list(logits)), "refined_logit": np.array(list(logits.values()), np.float32)}
    return replace(explanation_of(study, values), length=4, **windows)


def truth_of(study, *voxels: tuple[int, int, int]) -> PlacesTruth:
    embolus = np.zeros(study.hu.shape, bool)
    for voxel in voxels:
        embolus[voxel] = True
    spacing = np.array(study.spacing_mm)
    return PlacesTruth(embolus=embolus, artery=embolus, lung=embolus, affine=study.affine, spacing_mm=spacing)


def test_marks_are_maxima_high_enough_and_apart(study):
    """2.0 at (5, 10, 10) is the peak; a neighbour, one 8 mm away and one of 4 % are no marks; 12 mm away is one."""
    heat = {(5, 10, 10): 2.0, (5, 10, 11): 1.9, (5, 12, 10): 1.5, (5, 10, 13): 0.5, (1, 2, 2): 0.08, (1, 9, 9): 0.1}
    marks = find_marks(study, explained(study, heat, {0: 0.0, 4: np.log(3), 6: -2.0}))
    places = np.array([(5, 10, 10), (5, 10, 13), (1, 9, 9)], float)
    assert np.allclose([mark.point_mm for mark in marks], grid_to_lps(study.affine, places))
    assert [mark.share for mark in marks] == pytest.approx([1.0, 0.25, 0.05])
    assert [mark.confidence for mark in marks] == pytest.approx([0.75, 0.25 * 0.75, 0.05 * 0.5])
    slices = study.source.sop_instance_uid
    assert all(mark.sop_instance_uid == slices[mark.source_index] for mark in marks)


def test_a_plateau_is_one_mark_and_no_heat_is_none(study):
    heat = {(5, 10, 10): 1.0, (5, 10, 11): 1.0, (5, 11, 10): 1.0}
    assert len(find_marks(study, explained(study, heat, {0: 0.0}))) == 1
    assert find_marks(study, explained(study, {}, {0: 0.0})) == []


def test_emboli_are_connected_parts_with_size_and_place(study):
    truth = truth_of(study, (5, 10, 10), (6, 11, 11), (2, 3, 3))
    points = [
        tuple(grid_to_lps(study.affine, np.array(place, float))) for place in ((5, 10, 11), (2, 3, 3), (6, 12, 12))
    ]
    known = [KnownPlace(*one) for one in zip(points, (False, False, True), strict=True)]
    emboli = emboli_of(truth, [*known, KnownPlace((900.0, 0.0, 0.0), central=True)])  # the last has no mask
    assert emboli.volume_mm3.tolist() == [48.0, 96.0]  # in the order of their first voxels
    assert emboli.place == ("peripheral", "central")
    assert emboli_of(truth).place == ("not known", "not known")
    distance, owner = emboli.nearest(points)
    assert distance == pytest.approx([4.0, 0.0, np.sqrt(32)])
    assert owner.tolist() == [1, 0, 1]


def marked(*marks: tuple[float, int | None, float | None], emboli: int) -> StudyMarks:
    """A study with marks of (confidence, nearest embolus, distance)."""
    names = ("confidence", "embolus", "distance_mm")
    return StudyMarks(
        marks=tuple(dict(zip(names, mark, strict=True)) for mark in marks),
        emboli=tuple({"volume_mm3": 50.0 * 10**k, "place": "central" if k else "peripheral"} for k in range(emboli)),
    )


def test_a_mark_hits_the_nearest_alone_and_further_marks_on_it_count_neither_way():
    first = marked((0.9, 0, 0.0), (0.8, 0, 1.5), (0.7, 1, 4.0), (0.6, 1, 6.0), emboli=2)
    second = marked((0.5, None, None), emboli=0)
    patient = np.array([0, 1])
    at_5 = detections([first, second], 5.0, patient)
    assert at_5.lesion.tolist() == [0.9, 0.7]
    assert list(zip(at_5.false_mark, at_5.false_scan, strict=True)) == [(0.6, 0), (0.5, 1)]
    at_0 = detections([first, second], 0.0, patient)
    assert at_0.lesion.tolist() == [0.9, -np.inf]
    assert at_0.false_mark.tolist() == [0.8, 0.7, 0.6, 0.5]


def test_the_summary_by_distance_size_and_place():
    studies = [marked((0.9, 0, 0.0), (0.7, 1, 4.0), emboli=3), marked((0.8, None, None), emboli=0)]
    found = froc_summary(studies, ["p", "q"], EvaluateConfig(bootstrap_replicates=100), seed=0)
    assert (found["n_scans"], found["n_patients"], found["n_emboli"], found["n_marks"]) == (2, 2, 3, 3)
    at_5, at_2 = found["within"]["5"], found["within"]["2"]
    assert at_5["sensitivity"] == pytest.approx([0.3333, 0.3333, *[0.6667] * 5])  # 0.8 is half a false mark per scan
    assert at_5["average"] == pytest.approx((2 / 3 + 10 / 3) / 7, abs=1e-4)
    assert (at_2["n_hit"], at_2["false_marks"]) == (1, 2)
    assert {name: block["n_emboli"] for name, block in found["groups"].items()} == {
        "below 100 mm3": 1, "100 to 1000 mm3": 1, "1000 mm3 or more": 1, "central": 2, "peripheral": 1,
    }  # fmt: skip
    assert found["groups"]["1000 mm3 or more"]["n_hit"] == 0
    assert found["curve"]["false_per_scan"] == [0.0, 0.5, 0.5]
    assert froc_summary([marked(emboli=0)], ["p"], EvaluateConfig(), seed=0) is None
    assert at_5["sensitivity_ci"][0] is None  # of one patient
    low, high = wilson(0, 1, 0.95)
    assert found["groups"]["1000 mm3 or more"]["average_ci"] == pytest.approx([low, high], abs=1e-4)
    alone = froc_summary(studies[:1], ["p"], EvaluateConfig(bootstrap_replicates=100), seed=0)
    assert alone["within"]["5"]["average_ci"] is None
    assert size_title(100, np.inf) == "100 mm3 or more"


def test_the_table_of_marks(study):
    explanation = explained(study, {(5, 10, 10): 1.0}, {4: 0.0})
    marks = StudyMarks.of(find_marks(study, explanation), emboli_of(truth_of(study, (5, 10, 11))))
    assert StudyMarks.from_json(marks.to_json()) == marks
    table = marks_table([("1.2", marks), ("1.3", StudyMarks(marks=(), emboli=()))])
    row = table.iloc[0]
    assert len(table) == 1
    assert (row["StudyInstanceUID"], row["mark"], row["nearest_embolus"], row["distance_mm"]) == ("1.2", 1, 1, 4.0)
    assert row["confidence"] == 0.5
    assert row["slice"] == list(study.source.sop_instance_uid).index(row["SOPInstanceUID"]) + 1
    without = StudyMarks.of(find_marks(study, explanation), emboli_of(truth_of(study)))
    assert marks_table([("1.2", without)])["nearest_embolus"].isna().all()
