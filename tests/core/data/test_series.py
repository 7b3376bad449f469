"""The choice of a series: what goes out by name, what ranks first, and why."""

import numpy as np
import pytest

from pectl.core.data.series import choose_series, exclusion, is_original, lean_deg
from pectl.errors import StudyRefusedError


@pytest.fixture
def make_series(make_header):
    def make(uid, count, **changes):
        return [make_header(float(z), series_uid=uid, **changes) for z in range(count)]

    return make


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"modality": "MR"}, "not_ct"),
        ({"modality": ""}, "not_ct"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localizer"),
        ({"image_type": ("DERIVED", "SECONDARY", "REF_SURVIEW")}, "localizer"),
        ({"frames": 40}, "multi_frame"),
        ({"samples": 3}, "screen_capture"),
        ({"position": None}, "screen_capture"),
        ({"pixel_spacing_mm": None}, "screen_capture"),
        ({"orientation": None}, "screen_capture"),
        ({"orientation": (1, 0, 0, 0, 0, -1)}, "not_axial"),
        ({"orientation": (0, 1, 0, 0, 0, -1)}, "not_axial"),
        ({"orientation": (0, 0, 0, 0, 0, 0)}, "not_axial"),
        ({"orientation": (1, 0, 0, 1, 0, 0)}, "not_axial"),
        ({}, None),
        ({"orientation": (-1, 0, 0, 0, -1, 0)}, None),
        ({"orientation": (0, 1, 0, -1, 0, 0)}, None),
        ({"image_type": ()}, None),
    ],
)
def test_what_cannot_be_an_axial_slice(make_header, changes, code):
    assert exclusion(make_header(**changes)) == code


@pytest.mark.parametrize("degrees", [0.0, 18.5, 29.9])
def test_tilted_gantries_are_axial(make_header, degrees):
    angle = np.radians(degrees)
    header = make_header(orientation=(1, 0, 0, 0, np.cos(angle), -np.sin(angle)))
    assert lean_deg(header) == pytest.approx(degrees, abs=1e-4)
    assert exclusion(header) is None


def test_the_series_with_most_slices_is_chosen(make_series):
    choice = choose_series([*make_series("a", 20), *make_series("b", 30)], min_slices=16)
    assert {header.series_uid for header in choice.headers} == {"b"}
    assert len(choice.headers) == 30
    assert [finding.code for finding in choice.findings] == ["several_series"]
    assert choice.findings[0].detail == "30 slices taken, others of 20"
    assert choice.reason == (
        "original axial CT with 30 slices, first of 2 candidate series; left out: series of 20 slices"
    )


def test_original_comes_before_derived_and_projections_come_last(make_series):
    original = make_series("c", 20)
    projection = make_series("b", 40, image_type=("ORIGINAL", "PRIMARY", "AXIAL", "MIP"))
    derived = make_series("a", 60, image_type=("DERIVED", "SECONDARY", "AXIAL"))
    choice = choose_series([*projection, *derived, *original], min_slices=16)
    assert choice.headers[0].series_uid == "c"
    choice = choose_series([*projection, *derived], min_slices=16)
    assert choice.headers[0].series_uid == "b"


def test_a_derived_series_is_flagged(make_series):
    choice = choose_series(make_series("a", 20, image_type=("DERIVED", "SECONDARY", "AXIAL")), min_slices=16)
    assert [(finding.code, finding.detail) for finding in choice.findings] == [
        ("derived_series", "DERIVED/SECONDARY/AXIAL")
    ]
    assert choice.reason.startswith("derived axial CT with 20 slices")


def test_the_lowest_uid_decides_between_equals_whatever_the_order(make_series):
    series = [*make_series("b", 20), *make_series("a", 20)]
    assert choose_series(series, min_slices=16).headers[0].series_uid == "a"
    assert choose_series(series[::-1], min_slices=16).headers[0].series_uid == "a"


def test_what_is_left_out_is_counted_by_code(make_series):
    others = [
        *make_series("s", 2, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")),
        *make_series("m", 3, modality="MR"),
    ]
    choice = choose_series([*others, *make_series("a", 16)], min_slices=16)
    assert choice.reason.endswith("left out: 2 localizer, 3 not_ct")


def test_a_missing_type_counts_as_original(make_series):
    assert is_original(make_series("a", 3, image_type=()))


@pytest.mark.parametrize(
    ("changes", "count", "code", "found"),
    [
        ({}, 15, "too_few_slices", "a series of 15 axial slices"),
        ({"modality": "MR"}, 40, "not_ct", r"40 x not_ct \(Modality isn't CT\)"),
        ({}, 0, "no_image", "no image"),
    ],
)
def test_nothing_usable_is_refused_with_what_there_is(make_series, changes, count, code, found):
    with pytest.raises(
        StudyRefusedError, match=f"expected an axial CT series of 16 slices or more, found {found}"
    ) as caught:
        choose_series(make_series("a", count, **changes), min_slices=16)
    assert caught.value.code == code
