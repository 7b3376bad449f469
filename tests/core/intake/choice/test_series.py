"""The choice of a series: what goes out by name, what ranks first, and why."""

import numpy as np
import pytest

from pectl.config import Config, PreprocessConfig
from pectl.core.intake.choice.candidates import Candidate
from pectl.core.intake.choice.rules import describe_rules
from pectl.core.intake.choice.series import exclusion, rank_series
from pectl.core.intake.geometry import lean_deg
from pectl.errors import StudyRefusedError

CONFIG = PreprocessConfig()


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
        ({"frames": 40, "position": None}, "multi_frame"),
        ({"frames": 40}, None),  # one placed frame of an enhanced CT
        ({"samples": 3}, "screen_capture"),
        ({"position": None, "image_type": ("DERIVED", "SECONDARY", "SCREEN SAVE")}, "screen_capture"),
        ({"position": None}, "no_geometry"),
        ({"pixel_spacing_mm": None}, "no_geometry"),
        ({"orientation": None}, "no_geometry"),
        ({"rows": 0}, "no_image"),
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
    assert exclusion(make_header(**changes), max_lean_deg=30.0) == code


@pytest.mark.parametrize("degrees", [0.0, 18.5, 29.9])
def test_tilted_gantries_are_axial(make_header, degrees):
    angle = np.radians(degrees)
    header = make_header(orientation=(1, 0, 0, 0, np.cos(angle), -np.sin(angle)))
    assert lean_deg(header) == pytest.approx(degrees, abs=1e-4)
    assert exclusion(header, max_lean_deg=30.0) is None


def test_the_series_with_most_slices_is_chosen(make_series):
    choice = rank_series([*make_series("a", 20), *make_series("b", 30)], CONFIG)[0]
    assert {header.series_uid for header in choice.headers} == {"b"}
    assert len(choice.headers) == 30
    assert [finding.code for finding in choice.findings] == ["several_series"]
    assert choice.findings[0].detail == "30 slices taken by slices, others of 20"
    assert choice.reason == (
        "original axial CT of 30 slices, every 1 mm over 30 mm, kernel B30f, contrast agent not named; first of 2 "
        "candidates, before a by slices (original axial CT of 20 slices, every 1 mm over 20 mm, kernel B30f, "
        "contrast agent not named)"
    )


PREFERENCES = {
    "extent": ({"step": 8.0}, {"count": 60}),  # 20 slices over 160 mm before 60 over 60
    "original": ({}, {"count": 60, "image_type": ("DERIVED", "SECONDARY", "AXIAL")}),
    "no_spectral": ({}, {"count": 60, "content": "VMI"}),
    "no_projection": ({}, {"count": 60, "image_type": ("ORIGINAL", "PRIMARY", "AXIAL", "MIP")}),
    "contrast": ({"contrast": True}, {"count": 60}),
    "step": ({}, {"count": 50, "step": 2.6}),
    "kernel": ({"kernel": "Br36"}, {"count": 60, "kernel": "Bl57d"}),
    "slices": ({"count": 21}, {}),
}


@pytest.mark.parametrize("rule", PREFERENCES)
def test_each_rule_decides_and_is_named(make_series, rule):
    def series(uid, count=20, step=1.0, **changes):
        return [
            header._replace(position=(0, 0, step * place))
            for place, header in enumerate(make_series(uid, count, **changes))
        ]

    first, second = PREFERENCES[rule]
    choice = rank_series([*series("b", **second), *series("c", **first)], CONFIG)[0]
    assert choice.headers[0].series_uid == "c"
    assert f"before b by {rule} (" in choice.reason
    without = tuple(name for name in CONFIG.series.prefer if name != rule)
    other = CONFIG.model_copy(update={"series": CONFIG.series.model_copy(update={"prefer": without})})
    assert rank_series([*series("b", **second), *series("c", **first)], other)[0].scan.uid == "b"


@pytest.mark.parametrize(
    ("kernel", "sharp"),
    [
        ("B30f", False),
        ("B70f", True),
        ("Bl57d", True),
        ("Br36", False),
        ("LUNG", True),
        ("STANDARD", False),
        ("FC08", False),
        ("FC52", True),
        ("L", True),
        ("YB", True),
        ("C", False),
        ("BONEPLUS", True),
        ("", False),
    ],
)
def test_sharp_kernels(make_header, kernel, sharp):
    assert Candidate("a", (make_header(kernel=kernel),)).is_sharp(CONFIG.series.sharp_kernels) is sharp


def test_bolus_tracking_at_one_position_is_no_series(make_series):
    tracking = [header._replace(position=(0, 0, 0.0)) for header in make_series("a", 40, contrast=True)]
    choice = rank_series([*tracking, *make_series("b", 20)], CONFIG)[0]
    assert choice.headers[0].series_uid == "b"
    assert choice.reason.endswith("left out: series of 40 slices at 1 position")


def test_the_rules_in_words_follow_the_configuration():
    series = CONFIG.series.model_copy(update={"prefer": ("step", "slices"), "max_step_mm": 1.25})
    assert describe_rules(CONFIG.model_copy(update={"series": series})) == (
        "axial CT (leaning 30 degrees at most), 16 slices or more",
        "step of 1.25 mm or less",
        "most slices",
        "lowest SeriesInstanceUID",
    )


def test_a_rule_named_twice_is_a_fault():
    with pytest.raises(ValueError, match="prefer names a rule twice"):
        Config.model_validate({"preprocess": {"series": {"prefer": ["step", "step"]}}})


def test_a_derived_series_is_flagged(make_series):
    choice = rank_series(make_series("a", 20, image_type=("DERIVED", "SECONDARY", "AXIAL")), CONFIG)[0]
    assert [(finding.code, finding.detail) for finding in choice.findings] == [
        ("derived_series", "DERIVED/SECONDARY/AXIAL")
    ]
    assert choice.reason.startswith("derived axial CT of 20 slices")


def test_the_lowest_uid_decides_between_equals_whatever_the_order(make_series):
    series = [*make_series("b", 20), *make_series("a", 20)]
    assert rank_series(series, CONFIG)[0].scan.uid == "a"
    assert rank_series(series[::-1], CONFIG)[0].scan.uid == "a"


def test_what_is_left_out_is_counted_by_code(make_series):
    others = [
        *make_series("s", 2, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")),
        *make_series("m", 3, modality="MR"),
    ]
    choice = rank_series([*others, *make_series("a", 16)], CONFIG)[0]
    assert choice.reason.endswith("left out: 2 localizer, 3 not_ct")


def test_a_missing_type_counts_as_original(make_series):
    assert Candidate("a", tuple(make_series("a", 3, image_type=()))).original


@pytest.mark.parametrize(
    ("changes", "count", "code", "found"),
    [
        ({}, 15, "too_few_slices", "series of 15 slices"),
        ({"modality": "MR"}, 40, "not_ct", r"40 x not_ct \(Modality isn't CT\)"),
        ({}, 0, "no_image", "no image"),
    ],
)
def test_nothing_usable_is_refused_with_what_there_is(make_series, changes, count, code, found):
    with pytest.raises(
        StudyRefusedError, match=f"expected an axial CT series of 16 slices or more, found {found}"
    ) as caught:
        rank_series(make_series("a", count, **changes), CONFIG)
    assert caught.value.code == code
