"""One study from its files to what the store keeps: geometry, labels, flags, refusals."""

import numpy as np
import pytest

from pectl.config import PreprocessConfig
from pectl.core.dicom.headers import find_files, read_header
from pectl.core.intake.examine import examine, make_study
from pectl.core.intake.findings import Finding
from pectl.core.intake.study_labels import StudyLabels
from pectl.core.labels.names import STUDY_LABELS
from tests.chests import body_with_lungs_hu

CONFIG = PreprocessConfig(in_plane_px=64, slice_spacing_mm=3.0)
EXAM = dict.fromkeys(STUDY_LABELS)


@pytest.fixture
def make(tmp_path, write_series):
    """Write a series and make a study of it; `labels` gives the label of slice `place` in z order."""

    def make(labels=None, config=CONFIG, **options):
        folder = tmp_path / "series"
        uids = write_series(folder, **options)
        headers = [read_header(path) for path in find_files(folder)]
        image_labels = {uid: labels(place) for place, uid in enumerate(uids)} if labels else labels
        known = StudyLabels(image_labels, EXAM)
        examined = examine("1.2.3", headers, config, labels=known)
        assert examined.usable is not None, examined.verdict
        return make_study(examined.usable, examined.verdict, config, known), uids

    return make


def test_the_study_knows_where_it_came_from(make):
    study, uids = make()
    assert (study.uid, study.series_uid) == ("1.2.3", "1.2.3.1")
    assert (study.kernel, study.manufacturer) == ("B30f", "ACME")
    assert study.source_shape == (96, 96)
    assert study.source_pixel_spacing_mm == (4.0, 4.0)
    assert study.source_orientation == (1, 0, 0, 0, 1, 0)
    assert study.slice_step_mm == 6.0
    assert list(study.source.sop_instance_uid) == uids
    np.testing.assert_allclose(study.source.position_mm, 6.0 * (np.arange(40) - 19.5))
    np.testing.assert_allclose(study.source.image_position_patient[:, 2], study.source.position_mm)
    assert study.flags == ("thick_slices",)


ACQUISITIONS = {
    "HFS": {},
    "FFP": {"orientation": (-1, 0, 0, 0, -1, 0)},
    "decubitus": {"orientation": (0, 1, 0, -1, 0, 0)},
    "odd spacing": {"pixel_spacing_mm": (3.1, 4.3), "size": (120, 90), "step_mm": 4.7, "n_slices": 50},
}


@pytest.mark.parametrize("options", ACQUISITIONS.values(), ids=ACQUISITIONS)
@pytest.mark.parametrize("in_plane_px", [64, 200])
def test_the_affine_finds_the_nodule_within_a_millimetre(make, nodule_lps_mm, options, in_plane_px):
    def hu(points):
        """Alone in the left lung, bright, so that its centre of mass is its own."""
        values = body_with_lungs_hu(points)
        values[np.linalg.norm(points - nodule_lps_mm, axis=-1) < 15] = 3000.0
        return values

    study, _ = make(config=CONFIG.model_copy(update={"in_plane_px": in_plane_px}), hu=hu, **options)
    weights = np.clip(study.hu.astype(float) - 1000, 0, None)
    centre = [np.average(axis, weights=weights) for axis in np.indices(study.hu.shape)]
    np.testing.assert_allclose((study.affine @ [*centre, 1.0])[:3], nodule_lps_mm, atol=1.0)


def test_labels_join_by_uid_and_reach_the_grid_by_the_nearest_slice(make):
    study, _ = make(labels=lambda place: int(place in (20, 21)))
    assert study.source.label.tolist() == [int(place in (20, 21)) for place in range(40)]
    positions = study.slice_position_mm
    nearest = np.abs(positions[:, None] - study.source.position_mm[None]).argmin(axis=1)
    np.testing.assert_array_equal(study.slice_label, study.source.label[nearest])
    # slices 20 and 21 lie at 3 and 9 mm and are nearest from 0 to 12 mm; a tie goes to the lower slice
    assert positions[study.slice_label == 1].min() == 3.0
    assert positions[study.slice_label == 1].max() == 12.0
    np.testing.assert_array_equal(
        study.source.grid_index[[20, 21]], [np.flatnonzero(positions == z)[0] for z in (3, 9)]
    )


def test_without_labels_every_label_is_unknown(make):
    study, _ = make()
    assert (study.slice_label == -1).all()
    assert (study.source.label == -1).all()
    assert study.exam_labels == EXAM


@pytest.fixture
def judge(tmp_path, write_series):
    """Write a series and return the verdict on it."""

    def judge(image_labels=None, known=(), config=CONFIG, **options):
        write_series(tmp_path / "series", **options)
        headers = [read_header(path) for path in find_files(tmp_path / "series")]
        return examine("1.2.3", headers, config, labels=StudyLabels(image_labels, EXAM), known=known).verdict

    return judge


def test_images_without_labels_and_labels_without_images_are_flagged(judge):
    labels = {f"1.2.3.1.{place}": 0 for place in range(30)} | {"9.9": 1, "9.8": 0}
    details = {finding.code: finding.detail for finding in judge(labels).findings}
    assert details["images_without_labels"] == "10 of 40 images"
    assert details["labels_without_images"] == "2 of 32 labels"


def test_an_accepted_study_says_which_series_and_why(judge):
    verdict = judge()
    assert (verdict.study, verdict.series, verdict.level, verdict.refused) == ("1.2.3", "1.2.3.1", "warning", False)
    assert verdict.rows() == [
        (
            "1.2.3",
            "1.2.3.1",
            "accepted",
            "ok",
            "original axial CT of 40 slices, every 6 mm over 240 mm, kernel B30f, contrast agent not named",
        ),
        ("1.2.3", "1.2.3.1", "thick_slices", "warning", "6.00 mm"),
    ]


def test_a_refusal_keeps_the_series_the_choice_and_what_was_found_before(judge):
    verdict = judge(hu=lambda points: np.where(np.abs(points[..., 0]) < 150, 40.0, -1000.0))
    assert (verdict.series, verdict.outcome.code, verdict.level) == ("1.2.3.1", "not_chest", "error")
    assert "found 0 ml" in verdict.outcome.detail
    assert verdict.outcome.detail.endswith(f"series chosen: {verdict.choice}")
    assert [finding.code for finding in verdict.findings] == ["not_chest", "thick_slices"]


def test_a_study_of_no_usable_series_names_the_largest(judge):
    verdict = judge(n_slices=5)
    assert (verdict.series, verdict.choice, verdict.outcome.code) == ("1.2.3.1", "", "too_few_slices")


def test_what_is_known_before_joins_the_verdict(judge):
    breach, patient = Finding("label_breach", "a rule"), Finding("patient_in_several_studies", "2 studies")
    verdict = judge(known=(patient, breach))
    assert [finding.code for finding in verdict.findings] == [
        "label_breach",
        "patient_in_several_studies",
        "thick_slices",
    ]
    assert verdict.refused


def test_damaged_files_alone_are_a_verdict():
    known = (Finding("damaged_header", "2 files"),)
    verdict = examine("unnamed-0001", [], CONFIG, labels=StudyLabels(), known=known).verdict
    assert verdict.rows() == [("unnamed-0001", "", "damaged_header", "error", "2 files")]


def test_a_study_that_the_table_does_not_hold_is_flagged(make):
    study, _ = make(labels=None)
    assert "not_labelled" not in study.flags
    study, _ = make(labels={})
    assert "not_labelled" in study.flags


def keyword(name, value):
    def edit(dataset, place):
        if place == 3:
            setattr(dataset, name, value)

    return edit


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # pydicom, while writing
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("SOPInstanceUID", "", "missing_uid"),
        ("SOPInstanceUID", "a/b", "unsafe_uid"),
        ("SOPInstanceUID", "1.2.3.1.4", "repeated_uid"),
    ],
)
def test_uids_that_cannot_be_used(judge, name, value, code):
    verdict = judge(edit=keyword(name, value))
    assert verdict.outcome.code == code
    assert "UIDs of study, series and images: expected distinct ones" in verdict.outcome.detail


def test_a_file_that_vanished_is_a_refusal(tmp_path, write_series):
    write_series(tmp_path)
    headers = [read_header(path) for path in find_files(tmp_path)]
    headers[5].path.unlink()
    outcome = examine("1.2.3", headers, CONFIG, labels=StudyLabels()).verdict.outcome
    assert outcome.code == "unreadable_file"
    message = "pixels of the series: expected files that can be read, found No such file or directory"
    assert outcome.detail.startswith(message)
    assert str(tmp_path) not in outcome.detail
