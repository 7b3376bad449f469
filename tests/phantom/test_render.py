from dataclasses import replace

import numpy as np
import pytest

from pectl.config import PhantomConfig
from pectl.phantom.body.heart import Heart
from pectl.phantom.fields import SmoothField
from pectl.phantom.grid import Slab
from pectl.phantom.render import Fields, render
from pectl.phantom.study import draw_phantom


@pytest.fixture(scope="module")
def study():
    return draw_phantom(np.random.default_rng(8), PhantomConfig(matrix_px=160, slices=72), "negative")


def fields_of(study):
    return Fields.draw(np.random.default_rng(1), study.grid.whole())


def diameter_mm(hu, study, ellipsoid, level_hu):
    """Width of the bright stretch through an ellipsoid's centre, across its long axis."""
    turn = ellipsoid.turn_rad
    steps = np.arange(-45.0, 45.0, 0.1)
    line = np.array(ellipsoid.centre) + steps[:, None] * np.array([-np.sin(turn), np.cos(turn), 0.0])
    index = np.rint(study.grid.to_index(line)).astype(int)
    bright = hu[tuple(index.T)] > level_hu
    middle = len(steps) // 2
    first = middle - np.argmin(bright[middle::-1])
    last = middle + np.argmin(bright[middle:])
    return steps[last] - steps[first]


@pytest.mark.parametrize("ratio", [0.75, 1.0, 1.35])
def test_ventricles_have_the_ratio_in_the_image(study, ratio):
    heart = Heart.of(lv_diameter_mm=40.0, rv_lv_ratio=ratio)
    contrast = replace(study.contrast, artery=400.0, vein=390.0, aorta=380.0)
    other = replace(study, anatomy=replace(study.anatomy, heart=heart), contrast=contrast)
    centre = int(other.grid.to_index(np.array([heart.left_ventricle.centre]))[0, 0])
    slab = Slab(other.grid, centre - 1, centre + 3)
    hu = np.zeros(other.grid.shape, dtype=np.float32)
    hu[slab.start : slab.stop] = render(other, slab, fields_of(other)).hu
    right = diameter_mm(hu, other, heart.right_ventricle, 250.0)
    left = diameter_mm(hu, other, heart.left_ventricle, 240.0)
    assert left == pytest.approx(heart.lv_diameter_mm, abs=5.0)
    assert right / left == pytest.approx(ratio, abs=0.15)


def test_slabs_join_to_the_whole(study):
    fields = fields_of(study)
    whole = render(study, Slab(study.grid, 20, 40), fields)
    parts = [render(study, Slab(study.grid, start, start + 10), fields) for start in (20, 30)]
    np.testing.assert_allclose(np.concatenate([part.hu for part in parts]), whole.hu, atol=0.5)
    np.testing.assert_array_equal(np.concatenate([part.artery for part in parts]), whole.artery)


def test_tissues_have_their_hu(study):
    rendered = render(study, Slab(study.grid, 30, 44), fields_of(study))
    assert np.median(rendered.hu[rendered.lung]) == pytest.approx(-830.0, abs=40.0)
    assert np.median(rendered.hu[rendered.artery]) == pytest.approx(study.contrast.artery, abs=20.0)
    assert np.median(rendered.hu[:, :5]) == -1000.0
    assert not rendered.embolus.any()
    assert np.percentile(rendered.hu, 99.8) > 450.0  # bone


def test_fields_are_alike_in_all_slabs(study):
    field = SmoothField.draw(np.random.default_rng(2), study.grid.whole(), 20.0)
    whole = field.on(study.grid.whole())
    np.testing.assert_allclose(field.on(Slab(study.grid, 10, 12)), whole[10:12], atol=1e-5)
    assert whole.std() == pytest.approx(1.0, abs=0.35)


@pytest.mark.parametrize(
    ("field", "attribute"),
    [("node_probability", "nodes"), ("flow_probability", "unmixed"), ("other_defect_probability", "clots")],
)
def test_confounders_change_the_image_but_not_the_truth(field, attribute):
    config = PhantomConfig(matrix_px=96, slices=48, **{field: 1.0})
    study = draw_phantom(np.random.default_rng(4), config, "negative")
    assert getattr(study.findings.confounders, attribute)
    without = replace(study, findings=replace(study.findings, confounders=type(study.findings.confounders)()))
    slab, fields = study.grid.whole(), fields_of(study)
    with_it, plain = render(study, slab, fields), render(without, slab, fields)
    assert np.abs(with_it.hu - plain.hu).max() > 40.0
    assert not with_it.embolus.any()
    np.testing.assert_array_equal(with_it.artery, plain.artery)


def test_mucus_fills_bronchi():
    config = PhantomConfig(matrix_px=64, slices=24, mucus_probability=1.0)
    study = draw_phantom(np.random.default_rng(4), config, "negative")
    assert study.airways.mucus.any()
    assert not study.airways.mucus[0]  # the trachea stays open


def test_effusion_takes_the_place_of_lung():
    config = PhantomConfig(matrix_px=64, slices=24, effusion_probability=1.0)
    study = draw_phantom(np.random.default_rng(4), config, "negative")
    dry = replace(study, anatomy=replace(study.anatomy, effusion_mm=(0.0, 0.0)))
    slab, fields = study.grid.whole(), fields_of(study)
    assert render(study, slab, fields).lung.sum() < 0.97 * render(dry, slab, fields).lung.sum()


def test_the_mask_of_the_ventricles_is_where_their_blood_is(study):
    heart = Heart.of(lv_diameter_mm=40.0, rv_lv_ratio=1.2)
    contrast = replace(study.contrast, artery=400.0, vein=600.0, aorta=380.0, cava=600.0)
    other = replace(study, anatomy=replace(study.anatomy, heart=heart), contrast=contrast)
    rendered = render(other, other.grid.whole(), fields_of(other))
    mask = rendered.ventricle
    ml = mask.sum() * np.prod(other.grid.spacing_mm) / 1000
    ellipsoids = [4 / 3 * np.pi * np.prod(one.radii) / 1000 for one in (heart.left_ventricle, heart.right_ventricle)]
    assert ml == pytest.approx(sum(ellipsoids), rel=0.06)  # bending keeps the volume; the chambers are apart
    for ventricle, blood_hu in ((heart.left_ventricle, 380.0), (heart.right_ventricle, 400.0)):
        centre = other.grid.to_index(np.array([ventricle.centre]))[0].round().astype(int)
        assert mask[tuple(centre)]
        assert np.median(rendered.hu[mask & _near(mask, centre, 4)]) == pytest.approx(blood_hu, abs=25.0)
    for chamber in (heart.left_atrium, heart.right_atrium, heart.left_appendage):
        assert not mask[tuple(other.grid.to_index(np.array([chamber.centre]))[0].round().astype(int))]


def _near(mask, centre, voxels):
    return (np.abs(np.moveaxis(np.indices(mask.shape), 0, -1) - centre) <= voxels).all(-1)


@pytest.mark.parametrize(("chronic", "mixed"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
def test_the_mask_of_chronic_emboli_is_that_of_their_kind(chronic, mixed):
    config = PhantomConfig(matrix_px=96, slices=48, emboli=(4, 4), chronic_share=chronic, acute_and_chronic_share=mixed)
    study = draw_phantom(np.random.default_rng(7), config, "positive")
    rendered = render(study, study.grid.whole(), fields_of(study))
    assert rendered.embolus.any()
    kinds = {embolus.chronic for embolus in study.findings.emboli}
    assert kinds == ({False, True} if mixed else {bool(chronic)})
    of_chronic = [embolus for embolus in study.findings.emboli if embolus.chronic]
    alone = replace(study, findings=replace(study.findings, emboli=tuple(of_chronic)))
    expected = render(alone, study.grid.whole(), fields_of(study)).embolus
    if not mixed:
        np.testing.assert_array_equal(rendered.chronic, rendered.embolus if chronic else np.zeros_like(expected))
        return
    assert rendered.chronic.any()
    assert (rendered.embolus & ~rendered.chronic).any()
    touched = np.zeros_like(expected)  # by an acute one
    for embolus in study.findings.emboli:
        box, share = embolus.fill(study.grid.whole())
        touched[box] |= (share > 0) & (not embolus.chronic)
    np.testing.assert_array_equal(rendered.chronic[~touched], expected[~touched])
