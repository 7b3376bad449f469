"""Which voxels are one embolus, and its size, by hand."""

import numpy as np
import pytest

from pectl.core.places.emboli import measure_emboli, number_parts, number_values


def test_parts_that_touch_at_a_corner_are_one():
    mask = np.zeros((3, 4, 5), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True  # a corner in common
    mask[1, 3, 3] = True  # two columns and rows away
    numbers = number_parts(mask)
    assert numbers.dtype == np.uint16
    assert (numbers[0, 0, 0], numbers[1, 1, 1], numbers[1, 3, 3], numbers.max()) == (1, 1, 2, 2)
    assert (numbers > 0).sum() == 3


def test_nothing_marked_is_no_embolus():
    empty = np.zeros((3, 4, 5), bool)
    assert number_parts(empty).max() == 0
    assert measure_emboli(number_parts(empty), (1.0, 1.0, 1.0)).volume_mm3.shape == (0,)


def test_values_keep_their_order_without_gaps_and_may_touch():
    values = np.array([[[0, 2, 2, 7, -1]]], np.int16)
    assert number_values(values).tolist() == [[[0, 1, 1, 2, 0]]]
    assert number_values(values.astype(float)).tolist() == [[[0, 1, 1, 2, 0]]]


def test_values_that_number_nothing():
    with pytest.raises(ValueError, match="1 values that number no emboli"):
        number_values(np.array([[[0.5, 0.0]]]))


def test_sizes_of_a_block_and_of_a_voxel():
    """2 x 2 x 2 voxels of 2.0 x 0.5 x 0.8 mm: each is one step from outside, the nearest 0.5 mm away."""
    numbers = np.zeros((5, 6, 7), np.uint16)
    numbers[1:3, 2:4, 2:4] = 1
    numbers[4, 0, 0] = 2
    sizes = measure_emboli(numbers, (2.0, 0.5, 0.8))
    assert sizes.volume_mm3 == pytest.approx([8 * 0.8, 0.8])
    assert sizes.thickest_mm == pytest.approx([1.0, 1.0])
    assert sizes.n_slices.tolist() == [2, 1]


def test_emboli_that_touch_are_measured_each_by_itself():
    """Two plates of 3 x 9 x 9 side by side: alone each is 2 steps thick at its middle, together they would be 3."""
    numbers = np.zeros((6, 9, 9), np.uint16)
    numbers[:3], numbers[3:] = 1, 2
    assert measure_emboli(numbers, (1.0, 1.0, 1.0)).thickest_mm.tolist() == [4.0, 4.0]
    assert measure_emboli(number_parts(numbers > 0), (1.0, 1.0, 1.0)).thickest_mm.tolist() == [6.0]
