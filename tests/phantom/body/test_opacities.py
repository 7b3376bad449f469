from dataclasses import replace

import numpy as np
import pytest

from pectl.config import PhantomConfig
from pectl.phantom.body.heart import Ellipsoid
from pectl.phantom.body.opacities import Collapse, Mass, Opacities
from pectl.phantom.cohort import make_cohort
from pectl.phantom.render import Fields, render
from pectl.phantom.study import draw_phantom
from pectl.phantom.truth import read_geometry

CONFIG = PhantomConfig(matrix_px=96, slices=48, effusion_probability=0.0)


@pytest.fixture(scope="module")
def clear():
    return draw_phantom(np.random.default_rng(4), CONFIG, "positive")


def rendered(study):
    return render(study, study.grid.whole(), Fields.draw(np.random.default_rng(1), study.grid.whole()))


def voxel_ml(study):
    return float(np.prod(study.grid.spacing_mm)) / 1000.0


def test_a_tumour_has_its_size_and_hu_and_takes_the_place_of_air(clear):
    mass = Mass(shape=Ellipsoid((-70.0, 10.0, 0.0), (25.0, 25.0, 25.0)), necrosis=0.4, hu=60.0)
    plain, ill = rendered(clear), rendered(replace(clear, opacities=Opacities(mass=mass)))
    assert ill.mass.sum() * voxel_ml(clear) == pytest.approx(4 / 3 * np.pi * 2.5**3, rel=0.15)
    tissue = ill.mass & ~ill.artery & (np.abs(ill.hu) < 300)  # its bronchi and veins left out
    assert np.median(ill.hu[tissue]) == pytest.approx(60.0, abs=12.0)
    assert not (ill.mass & ill.lung).any()
    np.testing.assert_array_equal(ill.lung, plain.lung & ~ill.mass & ill.lung)
    np.testing.assert_array_equal(ill.embolus, plain.embolus)
    np.testing.assert_array_equal(ill.artery, plain.artery)


@pytest.mark.parametrize(("side", "right"), [("right", True), ("left", False)])
def test_a_collapsed_lung_has_no_air_on_its_side(clear, side, right):
    collapse = Collapse(side=side, part="whole", height_mm=0.0, hu=70.0)
    plain, ill = rendered(clear), rendered(replace(clear, opacities=Opacities(collapse=collapse)))
    half = np.broadcast_to((clear.grid.whole().x < 0.0) == right, plain.lung.shape)
    assert ill.lung[half].sum() < 0.03 * plain.lung[half].sum()
    assert ill.collapse[half].sum() > 0.95 * plain.lung[half].sum()
    assert ill.lung[~half].sum() > 0.97 * plain.lung[~half].sum()
    np.testing.assert_array_equal(ill.artery, plain.artery)


def test_lobes_collapse_where_they_are(clear):
    centres = {}
    for part in ("lower", "upper"):
        ill = rendered(
            replace(clear, opacities=Opacities(collapse=Collapse(side="left", part=part, height_mm=0, hu=70)))
        )
        share = ill.collapse.sum() / (ill.collapse.sum() + ill.lung.sum())
        assert 0.05 < share < 0.45
        centres[part] = np.argwhere(ill.collapse).mean(axis=0)
    assert centres["lower"][0] < centres["upper"][0] - 8  # slices count upwards
    assert centres["lower"][1] > centres["upper"][1] + 4  # rows to the back


def test_a_collapse_draws_up_the_diaphragm_on_its_side(clear):
    collapse = Collapse(side="left", part="whole", height_mm=0.0, hu=70.0)
    raised = Opacities(collapse=collapse).raise_diaphragm(clear.anatomy, np.random.default_rng(0))
    assert raised.dome_left_mm >= clear.anatomy.dome_left_mm + 10.0
    assert raised.dome_right_mm == clear.anatomy.dome_right_mm
    assert Opacities().raise_diaphragm(clear.anatomy, np.random.default_rng(0)) is clear.anatomy


def make_one(folder, **probabilities):
    size = {"studies": 1, "matrix_px": 64, "slices": 24, "effusion_probability": 0.0, "prevalence": 1.0}
    make_cohort(folder, PhantomConfig(**size, indeterminate_fraction=0.0, **probabilities), seed=9)
    (truth,) = (folder / "truth").iterdir()
    with np.load(truth) as masks:
        return (folder / "train.csv").read_text(), read_geometry(truth), dict(masks)


def test_truth_names_what_is_drawn_and_vessels_and_labels_stay(tmp_path):
    labels, geometry, masks = make_one(tmp_path / "clear")
    assert geometry["collapse"] is geometry["mass_diameter_mm"] is None
    assert not masks["collapse"].any()
    assert not masks["mass"].any()
    hard = dict.fromkeys(("mass_probability", "arms_down_probability", "deep_table_probability"), 1.0)
    hard_labels, hard_geometry, hard_masks = make_one(tmp_path / "hard", **hard)
    assert hard_labels == labels
    assert 30.0 <= hard_geometry["mass_diameter_mm"] <= 110.0
    assert hard_geometry["arms_down"]
    assert hard_geometry["deep_table"]
    np.testing.assert_array_equal(hard_masks["embolus"], masks["embolus"])
    assert hard_masks["lung"].sum() < masks["lung"].sum()


def test_truth_names_the_collapse(tmp_path):
    _, geometry, masks = make_one(tmp_path, collapse_probability=1.0)
    side, part = geometry["collapse"].split()
    assert side in ("left", "right")
    assert part in ("lower", "upper", "whole")
    assert masks["collapse"].any()
    assert not (masks["collapse"] & masks["lung"]).any()
