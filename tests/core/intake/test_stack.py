"""Stacks: canonical axes, order, steps, gaps and shifts."""

import numpy as np
import pytest

from pectl.core.intake.stack import build_stack, canonical_axes, largest_geometry, order_slices
from pectl.errors import StudyRefusedError

REGULAR = [2.0 * place for place in range(20)]


def codes(stack):
    return {finding.code: finding.detail for finding in stack.findings}


ORIENTATIONS = {
    "supine": (1, 0, 0, 0, 1, 0),
    "prone": (-1, 0, 0, 0, -1, 0),
    "rows flipped": (1, 0, 0, 0, -1, 0),
    "columns flipped": (-1, 0, 0, 0, 1, 0),
    "decubitus": (0, 1, 0, -1, 0, 0),
    "other decubitus": (0, -1, 0, 1, 0, 0),
    "transposed": (0, 1, 0, 1, 0, 0),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_every_axial_orientation_becomes_canonical(orientation):
    axes = canonical_axes(orientation)
    np.testing.assert_allclose([axes.w, axes.h, axes.d], np.eye(3), atol=1e-12)
    # a stored slice whose value is its own x + 100 y in the patient, at unit spacing
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    i, j = np.meshgrid(np.arange(3), np.arange(4), indexing="ij")
    points = i[..., None] * column + j[..., None] * row
    stored = (points[..., 0] + 100 * points[..., 1]).astype(np.int16)
    canonical = axes.canonical(stored)
    assert (np.diff(canonical, axis=1) == 1).all()
    assert (np.diff(canonical, axis=0) == 100).all()


def test_slices_go_from_feet_to_head_whatever_their_order(make_header):
    headers = tuple(make_header(z) for z in (4.0, -2.0, 0.0, 2.0))
    for orientation in ORIENTATIONS.values():
        turned = tuple(header._replace(orientation=orientation) for header in headers)
        ordered, position = order_slices(turned, canonical_axes(orientation))
        assert [header.position[2] for header in ordered] == [-2.0, 0.0, 2.0, 4.0]
        np.testing.assert_allclose(position, [-2.0, 0.0, 2.0, 4.0])


def test_a_regular_stack_has_nothing_to_say(make_stack):
    stack = make_stack(REGULAR[::-1])
    assert stack.step_mm == 2.0
    assert stack.findings == ()
    assert stack.shape == (20, 64, 64)
    assert not stack.shift_px.any()


def test_the_corner_is_that_of_the_canonical_array(make_header):
    header = make_header(orientation=(-1, 0, 0, 0, -1, 0), position=(10.0, 20.0, 0.0))
    stack = build_stack((header, header._replace(position=(10.0, 20.0, 2.0))), max_gap_mm=10)
    np.testing.assert_allclose(stack.corner_mm[0], [10 - 63 * 2, 20 - 63 * 2, 0])


def test_transposed_slices_swap_shape_and_spacing(make_stack):
    stack = make_stack(REGULAR, orientation=(0, 1, 0, 1, 0, 0), rows=40, columns=50, pixel_spacing_mm=(1.0, 3.0))
    assert stack.shape == (20, 50, 40)
    assert stack.pixel_spacing_mm == (3.0, 1.0)


def test_a_gap_is_named_with_its_place(make_stack):
    heights = [*REGULAR[:5], *REGULAR[7:]]
    assert codes(make_stack(heights)) == {"missing_slices": "1 gap: 4.0 mm above position 8.0 mm"}


def test_a_large_gap_is_refused(make_stack):
    heights = [*REGULAR[:5], *REGULAR[11:]]
    message = r"expected slices without a gap above 10 mm, found 12\.0 mm missing above position 8\.0 mm"
    with pytest.raises(StudyRefusedError, match=message) as caught:
        make_stack(heights)
    assert caught.value.code == "large_gap"
    assert codes(make_stack(heights, max_gap_mm=12.0)) == {"missing_slices": "1 gap: 12.0 mm above position 8.0 mm"}


def test_an_irregular_step_is_named(make_stack):
    heights = [*REGULAR[:10], *(z + 0.4 for z in REGULAR[10:])]
    assert codes(make_stack(heights)) == {"irregular_step": "2.00 to 2.40 mm"}
    assert codes(make_stack([z + 0.02 * (z % 4) for z in REGULAR])) == {}


def test_thick_slices_and_a_thickness_that_is_not_the_step(make_stack):
    found = codes(make_stack([4.0 * z for z in range(16)], slice_thickness_mm=5.0))
    assert found == {"thick_slices": "4.00 mm", "thickness_differs": "SliceThickness 5 mm, step 4 mm"}


def test_a_tilted_gantry_is_measured(make_header):
    angle = np.radians(10.0)
    tilted = (1.0, 0.0, 0.0, 0.0, np.cos(angle), -np.sin(angle))
    headers = tuple(make_header(z, orientation=tilted) for z in REGULAR)  # the table moves along z
    stack = build_stack(headers, max_gap_mm=10)
    assert codes(stack) == {"gantry_tilt": "10.0 degrees", "oblique": "10.0 degrees"}
    np.testing.assert_allclose(stack.step_mm, 2.0 * np.cos(angle))
    np.testing.assert_allclose(np.diff(stack.shift_px[:, 0]), -2.0 * np.sin(angle) / 2.0, atol=1e-9)
    np.testing.assert_allclose(stack.shift_px[:, 1], 0.0, atol=1e-9)


def test_slices_off_the_line_are_refused(make_header):
    headers = [make_header(z) for z in REGULAR]
    headers[7] = headers[7]._replace(position=(9.0, 0.0, 14.0))
    with pytest.raises(StudyRefusedError, match=r"expected slices along one line, found 8\.\d mm off it") as caught:
        build_stack(tuple(headers), max_gap_mm=10)
    assert caught.value.code == "shifted_slices"


def test_a_minority_of_another_geometry_is_left_out(make_header):
    headers = [make_header(z) for z in REGULAR]
    kept, findings = largest_geometry((*headers, make_header(99.0, rows=128), make_header(98.0, rows=128)))
    assert kept == tuple(headers)
    assert [(finding.code, finding.detail) for finding in findings] == [
        ("minority_geometry", "2 of 22 slices left out")
    ]


@pytest.mark.parametrize(
    "changes", [{"pixel_spacing_mm": (3.0, 2.0)}, {"columns": 32}, {"orientation": (1, 0, 0, 0, 0.9, 0.43)}]
)
def test_geometries_without_a_large_majority_are_refused(make_header, changes):
    headers = tuple(make_header(z) for z in REGULAR) + tuple(make_header(z, **changes) for z in REGULAR[:5])
    with pytest.raises(
        StudyRefusedError, match=r"expected slices of one geometry, found 2 of \[5, 20\] slices"
    ) as caught:
        largest_geometry(headers)
    assert caught.value.code == "mixed_geometry"


def test_rounding_in_headers_is_one_geometry(make_header):
    headers = tuple(make_header(z) for z in REGULAR)
    rounded = make_header(40.0, orientation=(1.0, -1e-16, 1e-4, 0, 1, 0), pixel_spacing_mm=(2.00001, 2.0))
    assert largest_geometry((*headers, rounded))[1] == []
