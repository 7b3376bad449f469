from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from pectl.config import PhantomConfig
from pectl.phantom.body.surroundings import Arms, Surroundings
from pectl.phantom.render import Fields, render
from pectl.phantom.study import draw_phantom


@pytest.fixture(scope="module")
def wide():
    config = PhantomConfig(matrix_px=128, slices=24, field_of_view_mm=(500.0, 500.0))
    return draw_phantom(np.random.default_rng(4), config, "negative")


def slice_of(study, index=8):
    return render(study, study.grid.whole(), Fields.draw(np.random.default_rng(1), study.grid.whole())).hu[index]


def test_the_field_of_view_is_the_one_asked_for(wide):
    assert wide.grid.spacing_mm[2] * 128 == pytest.approx(500.0)


def test_arms_lie_beside_the_chest(wide):
    arms = Arms(radius_mm=40.0, gap_mm=8.0, y_mm=20.0)
    plain, down = slice_of(wide), slice_of(replace(wide, surroundings=Surroundings(arms=arms)))
    parts, count = ndimage.label(down > -200)
    sizes_cm2 = np.bincount(parts.ravel())[1:] * wide.grid.spacing_mm[2] ** 2 / 100.0
    assert count >= 3
    assert sorted(sizes_cm2)[-3:-1] == pytest.approx([np.pi * 16, np.pi * 16], rel=0.1)
    bone = np.argwhere((down > 300) & (plain < -500))
    assert {bool(column < 64) for _, column in bone} == {True, False}


def test_a_deep_table_holds_the_patient_from_behind_and_beside(wide):
    flat, deep = slice_of(wide), slice_of(replace(wide, surroundings=Surroundings(deep_table=True)))
    new = np.argwhere((deep > -950) & (flat < -950))
    x_mm = (new[:, 1] - 64) * wide.grid.spacing_mm[2]
    assert np.abs(x_mm).max() > 170.0
    assert new[np.abs(x_mm) > 165.0, 0].min() < new[np.abs(x_mm) < 20.0, 0].min() - 10
