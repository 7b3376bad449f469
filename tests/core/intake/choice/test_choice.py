"""Which scan of a study becomes its volume: by words and pixels, joined, after another that failed, or by name."""

import numpy as np
import pytest
from pydicom.config import disable_value_validation

from pectl.config import PreprocessConfig
from pectl.core.dicom.headers import find_files, read_header
from pectl.core.intake.examine import examine
from pectl.core.intake.study_labels import StudyLabels
from tests.chests import chest_hu

CONFIG = PreprocessConfig(in_plane_px=64, slice_spacing_mm=3.0)
SMALL = {"n_slices": 36, "size": (64, 64), "pixel_spacing_mm": (6, 6)}
UNENHANCED = {"hu": lambda points: np.minimum(chest_hu(points), 60)}


@pytest.fixture
def judge(tmp_path, write_series):
    """Write several series or passes and judge them as one study; `own` gives SOPInstanceUIDs of their own."""

    def judge(*parts, image_labels=None, config=CONFIG, series=""):
        with disable_value_validation():  # of lists as text
            for number, part in enumerate(parts):
                write_series(tmp_path / str(number), **(SMALL | part | {"edit": _edit(number, part.get("edit"))}))
        headers = [header for path in find_files(tmp_path) if (header := read_header(path))]
        return examine("1.2.3", headers, config, labels=StudyLabels(image_labels), series=series)

    return judge


def _edit(number, edit):
    def edited(dataset, place):
        dataset.SOPInstanceUID = f"9.{number}.{place}"
        return edit(dataset, place) if edit else None

    return edited


def tags(start=0, stop=99, move_mm=0.0, **values):
    """Set attributes, keep the slices of some places, and move them up."""

    def edit(dataset, place):
        for name, value in values.items():
            setattr(dataset, name, value(place) if callable(value) else value)
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, z + move_mm]
        return start <= place < stop

    return {"edit": edit}


def details(examined):
    return {finding.code: finding.detail for finding in examined.verdict.findings}


def owners(examined):
    return {header.sop_uid.split(".")[1] for header in examined.usable.volume.stack.headers}


def test_overlapping_passes_are_one_volume_and_all_that_is_said_is_of_it(judge):
    labels = {f"9.0.{place}": 0 for place in range(20)} | {f"9.1.{place}": 0 for place in range(20, 36)}
    first, second = tags(0, 20, AcquisitionNumber=1), tags(16, 36, AcquisitionNumber=2)
    examined = judge(first, second, image_labels=labels)
    found = details(examined)
    assert len(examined.usable.volume.hu) == 36
    assert found["accepted"].startswith("original axial CT of 36 slices, every 6 mm over 216 mm")
    assert found["several_acquisitions"] == "2 told apart by AcquisitionNumber; 36 of 40 slices taken"
    assert not {"images_without_labels", "labels_without_images", "lungs_cut_off"} & set(found)


@pytest.mark.parametrize("move_mm", [0.0, 3.0])
@pytest.mark.parametrize("enhanced", [0, 1])
@pytest.mark.parametrize("by", ["AcquisitionNumber", "AcquisitionTime"])
def test_of_two_phases_in_one_series_the_contrast_phase_is_taken(judge, move_mm, enhanced, by):
    values = {"AcquisitionNumber": ("1", "2"), "AcquisitionTime": ("101500", "101545.5")}[by]
    parts = [tags(**{by: values[number]}, move_mm=number * move_mm) for number in range(2)]
    parts[1 - enhanced] |= UNENHANCED
    examined = judge(*parts)
    assert owners(examined) == {str(enhanced)}
    assert examined.usable.volume.stack.step_mm == pytest.approx(6.0)
    found = details(examined)
    assert found["several_acquisitions"] == f"2 told apart by {by}; 36 of 72 slices taken"
    assert "before acquisition 2 of 1.2.3.1 by contrast (" in found["accepted"]
    assert "less contrast in its pixels" in found["accepted"]
    assert "no_contrast" not in found


def test_of_two_phases_in_two_series_the_contrast_phase_is_taken(judge):
    examined = judge({"series": "1"} | UNENHANCED, {"series": "2"})
    assert owners(examined) == {"1"}
    assert "before 1.2.3.1 by contrast (" in details(examined)["accepted"]


def test_two_phases_that_nothing_tells_apart_are_refused(judge):
    examined = judge(UNENHANCED, {})
    assert examined.verdict.outcome.code == "conflicting_slices"


def test_parts_of_other_phases_are_no_one_scan(judge):
    abdomen = tags(0, 12, move_mm=-30.0, AcquisitionNumber=2) | {"hu": lambda points: np.full(points.shape[:-1], 300.0)}
    examined = judge(tags(AcquisitionNumber=1), abdomen)
    assert owners(examined) == {"0"}


def body_alone(points):
    return np.where((points[..., 0] / 170) ** 2 + (points[..., 1] / 110) ** 2 < 1, 40.0, -1000.0)


def test_after_a_series_without_lungs_the_next_is_tried_and_the_failure_said(judge):
    far = tags(FrameOfReferenceUID="1.9") | {"hu": body_alone, "series": "9", "n_slices": 44}
    examined = judge(far, {"series": "2"})
    found = details(examined)
    assert examined.verdict.series == "1.2.3.2"
    assert found["first_series_failed"].startswith("1.2.3.9: not_chest: lungs: expected 300 ml of aerated lung")
    assert "number 2 of 2 candidates, after 1.2.3.9, which can't be used" in found["accepted"]
    assert found["several_series"] == "36 slices taken as others can't be used, others of 44"


def test_after_damaged_pixels_the_next_series_is_tried(judge):
    def damage(dataset, place):
        if place == 3:
            dataset.PixelData = dataset.PixelData[:100]

    examined = judge({"series": "1", "edit": damage}, {"series": "2", "n_slices": 34})
    assert examined.verdict.series == "1.2.3.2"
    assert "truncated_pixel_data" in details(examined)["first_series_failed"]


def test_where_none_can_be_used_the_first_refuses_and_the_others_are_said(judge):
    examined = judge({"series": "1", "hu": body_alone}, {"series": "2", "n_slices": 34, "hu": body_alone})
    outcome = examined.verdict.outcome
    assert (outcome.code, examined.verdict.series) == ("not_chest", "1.2.3.1")
    assert "; nor can the others: 1.2.3.2: not_chest: lungs: expected 300 ml" in outcome.detail
    assert "first_series_failed" not in details(examined)


def test_one_scan_in_two_series_is_one_volume(judge):
    examined = judge(tags(0, 20) | {"series": "1"}, tags(20, 36) | {"series": "2"})
    assert len(examined.usable.volume.hu) == 36
    assert details(examined)["joined_series"] == "20 slices of 1.2.3.1, 16 slices of 1.2.3.2"
    assert "lungs_cut_off" not in details(examined)


BEHIND = {
    "MIP in a list as text": {"ImageType": "['DERIVED', 'SECONDARY', 'MIP']"},
    "vendor's MIP": {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 MIP"]},
    "vendor's average": {"ImageType": ["DERIVED", "SECONDARY", "CT_SOM5 AVE"]},
    "thick reformat": {"ImageType": ["DERIVED", "SECONDARY", "MPR THICK"]},
    "slab": {"SliceThickness": 20},
    "monoenergetic": {"SeriesDescription": "MonoE 40 keV"},
    "virtual unenhanced": {"RescaleType": "HU_MOD"},
    "iodine": {"RescaleType": "MGML"},
    "electron density": {"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "ELECTRON_DENSITY"]},
    "effective Z": {"SeriesDescription": "Z Effective"},
}


@pytest.mark.parametrize("values", BEHIND.values(), ids=BEHIND)
def test_what_is_not_a_scan_of_ct_numbers_comes_behind_and_is_flagged_where_it_is_alone(judge, values):
    behind = tags(**values) | {"series": "0", "n_slices": 40, "step_mm": 5.4}
    alone = details(judge(behind))
    assert {"projection_series", "spectral_series"} & set(alone)
    examined = judge(behind, tags(ImageType=["DERIVED", "PRIMARY", "AXIAL"]) | {"series": "1"})
    assert examined.verdict.series == "1.2.3.1"
    assert not {"projection_series", "spectral_series"} & set(details(examined))


def test_an_original_in_a_list_as_text_is_no_derived_series(judge):
    found = details(judge(tags(ImageType="['ORIGINAL', 'PRIMARY', 'AXIAL']")))
    assert "derived_series" not in found
    assert found["accepted"].startswith("original axial CT")


def test_noise_in_orientation_is_no_other_geometry(judge):
    def edit(dataset, place):
        lean = 0.005 + (place % 2 - 0.5) * 2e-6
        dataset.ImageOrientationPatient = [0.9999875, lean, 0, -lean, 0.9999875, 0]

    assert judge({"edit": edit}).verdict.outcome.code == "accepted"


def test_a_named_series_is_used_whatever_the_rules_say(judge):
    parts = {"series": "1"}, {"series": "2", "n_slices": 34}
    examined = judge(*parts, series="1.2.3.2")
    assert examined.verdict.series == "1.2.3.2"
    assert details(examined)["accepted"].startswith("named by the user: original axial CT of 34 slices")
    assert "several_series" not in details(examined)


def test_a_named_series_that_fails_is_a_refusal(judge):
    examined = judge({"series": "1", "hu": body_alone}, {"series": "2", "n_slices": 34}, series="1.2.3.1")
    assert (examined.verdict.outcome.code, examined.verdict.series) == ("not_chest", "1.2.3.1")


def test_a_named_series_that_is_not_there_is_a_refusal(judge):
    outcome = judge({}, series="1.7").verdict.outcome
    assert outcome.code == "series_not_found"
    assert "expected the named series 1.7, found 1 others; name one that `pectl validate` lists" in outcome.detail
