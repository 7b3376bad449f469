"""The grid: where every voxel lies, how slices are made finer and coarser, which slice is nearest."""

import numpy as np
import pytest

from pectl.core.intake.lungs import Box
from pectl.core.intake.resample import resample_box

RNG = np.random.default_rng(0)


def whole(volume):
    return Box(*((0, size) for size in volume.hu.shape))


def lps(affine, d, h, w):
    return (affine @ [d, h, w, 1.0])[:3]


def test_a_grid_like_the_source_is_the_source(make_volume):
    hu = RNG.integers(-1000, 1000, (12, 40, 40))
    volume = make_volume(hu, step_mm=1.5)
    grid = resample_box(volume, whole(volume), slice_spacing_mm=1.5, in_plane_px=40)
    np.testing.assert_array_equal(grid.hu, hu)
    assert grid.spacing_mm == (1.5, 2.0, 2.0)
    np.testing.assert_array_equal(grid.nearest_source, np.arange(12))
    np.testing.assert_array_equal(grid.nearest_grid, np.arange(12))
    np.testing.assert_allclose(lps(grid.affine, 3, 4, 5), [10.0, 8.0, 4.5])


def test_finer_slices_are_interpolated(make_volume):
    hu = np.repeat(np.arange(0, 1000, 100), 40 * 40).reshape(10, 40, 40)
    volume = make_volume(hu, step_mm=5.0)
    grid = resample_box(volume, whole(volume), slice_spacing_mm=1.0, in_plane_px=40)
    assert grid.hu.shape == (46, 40, 40)
    np.testing.assert_allclose(grid.position_mm, np.arange(46.0))
    np.testing.assert_array_equal(grid.hu[:, 7, 7], np.arange(0, 901, 20))


def test_coarser_slices_are_averages_by_overlap(make_volume):
    values = RNG.integers(-500, 500, 12)
    volume = make_volume(np.repeat(values, 40 * 40).reshape(12, 40, 40), step_mm=1.0)
    grid = resample_box(volume, whole(volume), slice_spacing_mm=2.5, in_plane_px=40)
    # -0.5 to 11.5 mm becomes 5 slices of 2.5 mm from -0.75 to 11.75 mm
    np.testing.assert_allclose(grid.position_mm, 0.5 + 2.5 * np.arange(5))
    expected = [
        values[0:2].sum() / 2.25 + 0.25 * values[2] / 2.25,
        (0.75 * values[2] + values[3] + 0.75 * values[4]) / 2.5,
        (0.25 * values[4] + values[5] + values[6] + 0.25 * values[7]) / 2.5,
        (0.75 * values[7] + values[8] + 0.75 * values[9]) / 2.5,
        (0.25 * values[9] + values[10] + values[11]) / 2.25,
    ]
    np.testing.assert_allclose(grid.hu[:, 3, 3], expected, atol=0.51)


def test_uneven_steps_are_interpolated_by_position(make_volume):
    heights = [0.0, 2.0, 3.0, 7.0]
    hu = np.repeat([0, 200, 300, 700], 40 * 40).reshape(4, 40, 40)
    volume = make_volume(hu, heights=heights)
    grid = resample_box(volume, whole(volume), slice_spacing_mm=1.0, in_plane_px=40)
    np.testing.assert_array_equal(grid.hu[:, 0, 0], np.arange(0, 701, 100))
    np.testing.assert_array_equal(grid.nearest_source, [0, 0, 1, 2, 2, 2, 3, 3])
    np.testing.assert_array_equal(grid.nearest_grid, [0, 2, 3, 7])


def test_slices_outside_the_box_have_no_grid_slice(make_volume):
    volume = make_volume(RNG.integers(-1000, 1000, (20, 40, 40)), step_mm=2.0)
    grid = resample_box(volume, Box((5, 10), (0, 40), (0, 40)), slice_spacing_mm=1.0, in_plane_px=40)
    np.testing.assert_allclose(grid.position_mm, np.arange(10.0, 19.0))
    expected = [-1] * 5 + [0, 2, 4, 6, 8] + [-1] * 10
    np.testing.assert_array_equal(grid.nearest_grid, expected)


@pytest.mark.parametrize("in_plane_px", [32, 64, 100])
def test_the_box_becomes_a_square_of_true_proportions(make_volume, in_plane_px):
    hu = np.full((6, 90, 60), 0)
    volume = make_volume(hu, pixel_spacing_mm=(1.0, 3.0))
    grid = resample_box(volume, Box((0, 6), (20, 60), (10, 50)), slice_spacing_mm=2.0, in_plane_px=in_plane_px)
    side = 120.0  # 40 columns of 3 mm; the rows are widened from 40 to 120 mm
    assert grid.spacing_mm == pytest.approx((2.0, side / in_plane_px, side / in_plane_px))
    edge = lps(grid.affine, 0, -0.5, -0.5)
    np.testing.assert_allclose(edge, [10 * 3 - 1.5, (40 - 60) * 1.0 - 0.5, 0.0])


def test_outside_the_source_is_air(make_volume):
    volume = make_volume(np.full((6, 40, 40), 50))
    grid = resample_box(volume, Box((0, 6), (15, 25), (0, 40)), slice_spacing_mm=2.0, in_plane_px=40)
    assert (grid.hu == 50).all()  # widened to the rows there are
    volume = make_volume(np.full((6, 20, 40), 50))
    grid = resample_box(volume, Box((0, 6), (0, 20), (0, 40)), slice_spacing_mm=2.0, in_plane_px=40)
    assert (grid.hu[:, :10] == -1024).all()
    assert (grid.hu[:, 10:30] == 50).all()
    assert (grid.hu[:, 30:] == -1024).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"orientation": (-1, 0, 0, 0, -1, 0)},
        {"orientation": (0, 1, 0, -1, 0, 0)},
        {"pixel_spacing_mm": (1.37, 2.71)},
        {"orientation": (1, 0, 0, 0, np.cos(0.1), np.sin(0.1))},
        {"step": 3.3},
        {"step": 0.7},
    ],
)
@pytest.mark.parametrize("in_plane_px", [50, 160])
def test_a_ball_keeps_its_place(make_volume, options, in_plane_px):
    """The affine of the grid finds a ball where the geometry of the source has it."""
    step = options.get("step", 1.9)
    changes = {name: value for name, value in options.items() if name != "step"}
    volume = make_volume(np.full((60, 80, 80), -1000), step_mm=step, **changes)
    stack, centre = volume.stack, (31, 43, 35)
    dy, dx = stack.pixel_spacing_mm
    d, h, w = np.ogrid[:60, :80, :80]
    dz = stack.step_mm
    inside = ((d - centre[0]) * dz) ** 2 + ((h - centre[1]) * dy) ** 2 + ((w - centre[2]) * dx) ** 2 < 12.0**2
    volume.hu[inside] = 0
    grid = resample_box(volume, Box((3, 58), (6, 70), (5, 78)), slice_spacing_mm=1.0, in_plane_px=in_plane_px)
    weights = grid.hu.astype(float) + 1000
    weights[weights < 100] = 0
    found = [np.average(axis, weights=weights) for axis in np.indices(grid.hu.shape, sparse=False)]
    expected = (
        volume.corner_mm
        + stack.position_mm[centre[0]] * stack.axes.d
        + centre[1] * dy * stack.axes.h
        + centre[2] * dx * stack.axes.w
    )
    np.testing.assert_allclose(lps(grid.affine, *found), expected, atol=0.25)
