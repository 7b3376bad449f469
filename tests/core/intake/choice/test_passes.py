"""Passes of one series: whatever attribute tells them apart is believed, and only where it does."""

import numpy as np
import pytest

from pectl.core.intake.choice.assembly import assemble
from pectl.core.intake.choice.passes import find_passes

N, STEP = 30, 2.0
DAY = 86400.0


def values(name, first, second):
    """A value of one attribute for each slice of the first and of the second pass; a function is of the place."""
    return {name: tuple(one if callable(one) else (lambda place, one=one: one) for one in (first, second))}


TELLING = {
    "number": values("acquisition", "1", "2"),
    "number of each slice": values("acquisition", lambda place: str(place + 1), lambda place: str(place + 101)),
    "second alone is numbered": values("acquisition", "", "2"),
    "number and phase of a frame": values("acquisition", "1.1", "1.2"),
    "phase": values("phase", "1", "2"),
    "time": values("seconds", 36000.0, 36030.5),
    "time of each slice": values("seconds", lambda place: 100 + 0.1 * place, lambda place: 160 + 0.1 * place),
    "table back": values("seconds", lambda place: 100 + 0.1 * place, lambda place: 160 - 0.1 * place),
    "over midnight": values("seconds", lambda place: DAY - 9 + 0.1 * place, lambda place: 20 + 0.1 * place),
    "contrast agent": values("contrast", False, True),
    "instance number": values("instance", lambda place: place + 1, lambda place: place + 51),
    "kernel": values("kernel", "B30f", "B70f"),
    "image type": values("image_type", ("ORIGINAL", "PRIMARY"), ("DERIVED", "SECONDARY", "MIP")),
    "thickness": values("slice_thickness_mm", 2.0, 5.0),
    "content": values("content", "", "IODINE"),
}


@pytest.fixture
def make_passes(make_header):
    """Two passes: heights of each, and an attribute that may tell them apart; the slices in no order."""

    def make(first, second, attributes, seed=0):
        headers = [
            make_header(
                z, sop_uid=f"{number}.{place}", **{name: pair[number](place) for name, pair in attributes.items()}
            )
            for number, heights in enumerate((first, second))
            for place, z in enumerate(heights)
        ]
        return tuple(headers[i] for i in np.random.default_rng(seed).permutation(len(headers)))

    return make


def sizes_and_owners(passes):
    return sorted((len(one.headers), {header.sop_uid[0] for header in one.headers}) for one in passes)


HEIGHTS = [STEP * place for place in range(N)]


@pytest.mark.parametrize("shift", [0.0, STEP / 2], ids=["same positions", "half a step apart"])
@pytest.mark.parametrize("attributes", TELLING.values(), ids=TELLING)
def test_whatever_tells_two_passes_apart_is_believed(make_passes, attributes, shift):
    headers = make_passes(HEIGHTS, [z + shift for z in HEIGHTS], attributes)
    assert sizes_and_owners(find_passes(headers)) == [(N, {"0"}), (N, {"1"})]


def test_the_attribute_is_named(make_passes):
    headers = make_passes(HEIGHTS, HEIGHTS, TELLING["number"])
    assert {one.told_by for one in find_passes(headers)} == {("AcquisitionNumber",)}
    assert find_passes(headers[:1])[0].told_by == ()


def test_two_attributes_tell_four_passes_apart(make_passes):
    plain = make_passes(HEIGHTS, HEIGHTS, TELLING["number"])
    sharp = tuple(header._replace(kernel="B70f", sop_uid=f"s{header.sop_uid}") for header in plain)
    found = find_passes((*plain, *sharp))
    assert [len(one.headers) for one in found] == [N] * 4
    assert {one.told_by for one in found} == {("ConvolutionKernel", "AcquisitionNumber")}


NOT_BELIEVED = {
    "rotations": {"acquisition": lambda place: str(place // 4)},
    "each slice": {"acquisition": lambda place: str(100 - place)},
    "the end of the scan": {"acquisition": lambda place: "1" if place < 20 else "2"},
    "no order": {"instance": lambda place: (place * 7) % 30},
    "jitter": {"seconds": lambda place: place + (1.5 if place % 2 else 0.0)},
    "kernel of the upper half": {"kernel": lambda place: "B70f" if place < 15 else "B30f"},
    "rounding of the thickness": {"slice_thickness_mm": lambda place: 2.0 + 1e-4 * (place % 2)},
}


@pytest.mark.parametrize("attributes", NOT_BELIEVED.values(), ids=NOT_BELIEVED)
def test_what_one_pass_can_show_parts_nothing(make_header, attributes):
    headers = tuple(
        make_header(z, **{name: value(place) for name, value in attributes.items()}) for place, z in enumerate(HEIGHTS)
    )
    assert len(find_passes(headers)) == 1


def test_one_slice_in_a_wrong_place_is_no_second_pass(make_header):
    headers = [make_header(z, instance=place) for place, z in enumerate(HEIGHTS)]
    headers[7] = headers[7]._replace(position=headers[6].position)
    assert len(find_passes(tuple(headers))) == 1


@pytest.mark.parametrize("overlap", [1, 5, 14])
@pytest.mark.parametrize("attributes", [TELLING["number"], TELLING["time"], TELLING["phase"]])
def test_passes_that_go_on_are_joined_with_one_pass_in_the_overlap(make_passes, attributes, overlap):
    second = [STEP * place for place in range(N - overlap, 2 * N - overlap - 2)]
    [scan] = assemble(make_passes(HEIGHTS, second, attributes), max_gap_mm=10.0)
    assert len(scan.headers) == len(scan.position_mm) == 2 * N - overlap - 2
    assert sum(header.sop_uid.startswith("0") for header in scan.headers) == N  # all of the larger pass
    assert (scan.n_passes, scan.n_images) == (2, 2 * N - 2)


def test_an_overlap_off_the_grid_adds_no_slice_between_two(make_passes):
    second = [STEP * place + 0.9 for place in range(N - 5, 2 * N - 5)]
    [scan] = assemble(make_passes(HEIGHTS, second, TELLING["number"]), max_gap_mm=10.0)
    assert np.diff(scan.position_mm).min() > STEP / 2
    assert scan.position_mm[-1] == pytest.approx(second[-1])


def test_a_pass_inside_a_gap_fills_it(make_passes):
    [scan] = assemble(
        make_passes(HEIGHTS[:10] + HEIGHTS[22:], HEIGHTS[10:22], TELLING["number of each slice"]), max_gap_mm=10.0
    )
    assert len(scan.position_mm) == N


def test_two_slices_of_another_type_stay_in_their_scan(make_header):
    headers = [make_header(z) for z in HEIGHTS]
    for place in (7, 20):
        headers[place] = headers[place]._replace(image_type=("DERIVED", "SECONDARY"))
    assert [len(scan.headers) for scan in assemble(headers, max_gap_mm=10.0)] == [N]


def test_two_halves_of_two_phases_become_two_scans(make_header):
    headers = [
        make_header(z, sop_uid=f"{number}.{z}", acquisition=str(number))
        for number, part in enumerate((HEIGHTS[:16], HEIGHTS[14:], HEIGHTS[:16], HEIGHTS[14:]), start=1)
        for z in part
    ]
    scans = assemble(headers, max_gap_mm=10.0)
    assert [len(scan.position_mm) for scan in scans] == [N, N]
    assert not {header.sop_uid for header in scans[0].headers} & {header.sop_uid for header in scans[1].headers}


PARTS = {
    "abutting": (16, {}),
    "overlapping": (13, {}),
    "a slice missing": (17, {}),
    "rounding": (16, {"orientation": (1.0, 1e-6, 0.0, -1e-6, 1.0, 0.0), "pixel_spacing_mm": (2.00001, 2.0)}),
}


@pytest.mark.parametrize(("start", "changes"), PARTS.values(), ids=PARTS)
def test_one_scan_in_two_series_is_joined(make_header, start, changes):
    headers = [make_header(z, series_uid="1.8") for z in HEIGHTS[:16]]
    headers += [make_header(z, series_uid="1.7", sop_uid=f"b{z}", **changes) for z in HEIGHTS[start:]]
    [scan] = assemble(headers[::-1], max_gap_mm=10.0)
    assert len(scan.position_mm) == N - max(0, start - 16)
    assert scan.series == ({"1.8": 16, "1.7": N - start} if start >= 16 else {"1.7": N - start, "1.8": start})
    assert scan.uid == next(iter(scan.series))


def test_one_scan_of_a_series_for_each_slice_is_joined(make_header):
    [scan] = assemble([make_header(z, series_uid=f"1.{place}") for place, z in enumerate(HEIGHTS)], max_gap_mm=10.0)
    assert len(scan.position_mm) == N


OTHER_SCANS = {
    "frame of reference": {"frame_of_reference": 9},
    "kernel": {"kernel": "B70f"},
    "matrix": {"rows": 32},
    "spacing": {"pixel_spacing_mm": (1.9, 1.9)},
    "orientation": {"orientation": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)},
    "type": {"image_type": ("DERIVED", "SECONDARY")},
    "content": {"content": "VMI"},
    "contrast": {"contrast": True},
    "thickness": {"slice_thickness_mm": 5.0},
}


@pytest.mark.parametrize("changes", OTHER_SCANS.values(), ids=OTHER_SCANS)
def test_series_that_differ_are_two_scans(make_header, changes):
    headers = [make_header(z, series_uid="1.8") for z in HEIGHTS[:16]]
    headers += [make_header(z, series_uid="1.7", **changes) for z in HEIGHTS[16:]]
    assert len(assemble(headers, max_gap_mm=10.0)) == 2


@pytest.mark.parametrize(
    "move",
    [
        lambda z: (0.0, 0.0, z + 11.0),
        lambda z: (9.0, 0.0, z),
        lambda z: (0.0, 0.0, HEIGHTS[16] + 1.5 * (z - HEIGHTS[16])),
    ],
    ids=["a wide gap", "aside", "another step"],
)
def test_series_that_do_not_meet_are_two_scans(make_header, move):
    headers = [make_header(z, series_uid="1.8") for z in HEIGHTS[:16]]
    headers += [make_header(z, series_uid="1.7", position=move(z)) for z in HEIGHTS[16:]]
    assert len(assemble(headers, max_gap_mm=10.0)) == 2


def test_series_of_one_place_are_not_joined(make_header):
    headers = [make_header(z, series_uid=uid, sop_uid=f"{uid}.{z}") for uid in ("1.7", "1.8") for z in HEIGHTS]
    assert [len(scan.headers) for scan in assemble(headers, max_gap_mm=10.0)] == [N, N]
