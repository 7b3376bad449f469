import numpy as np
import pytest

from pectl.config import PhantomConfig
from pectl.phantom.emboli import Embolus
from pectl.phantom.grid import Grid
from pectl.phantom.placement import draw_emboli
from pectl.phantom.study import draw_phantom
from pectl.phantom.tubes import tubes

GRID = Grid(shape=(60, 60, 60), spacing_mm=(0.5, 0.5, 0.5), first_mm=(-14.75, -14.75, -14.75))
PATH = np.array([(0.0, 0.0, z) for z in (-12.0, -4.0, 4.0, 12.0)])
LEAN = np.array([1.0, 0.0, 0.0])


def embolus_of(kind, share):
    return Embolus(kind=kind, path=PATH, radii_mm=np.full(3, 6.0), branches=(0,), share=share, lean=LEAN, hu=50.0)


def cross_section(kind, share):
    box, filled = embolus_of(kind, share).fill(GRID.whole())
    plane = np.zeros(GRID.shape, dtype=np.float32)
    plane[box] = filled
    return plane[30]


@pytest.mark.parametrize("kind", ["acute", "wall", "web"])
def test_takes_its_share_of_the_lumen(kind):
    area = cross_section(kind, 0.5).sum() * 0.25
    tolerance = 0.2 if kind == "web" else 0.03  # a band across a circle, not a circle
    assert area / (np.pi * 36.0) == pytest.approx(0.5, abs=tolerance)


def test_acute_is_outlined_by_contrast_all_around():
    filled = cross_section("acute", 0.5) > 0.5
    distance = np.hypot(*(np.indices(filled.shape) - 29.5) * 0.5)
    assert distance[filled].max() < 5.8


def test_chronic_lines_the_wall_on_one_side():
    filled = cross_section("wall", 0.4) > 0.5
    h, w = np.nonzero(filled)
    assert (w - 29.5).mean() * 0.5 > 1.5
    assert np.hypot(h - 29.5, w - 29.5).max() * 0.5 == pytest.approx(6.0, abs=0.4)
    assert not filled[30, 20]


def test_web_crosses_the_lumen_from_wall_to_wall():
    filled = cross_section("web", 0.3) > 0.5
    assert np.ptp(np.nonzero(filled)[0]) * 0.5 == pytest.approx(11.5, abs=1.0)
    assert np.ptp(np.nonzero(filled)[1]) * 0.5 < 4.0


def test_length_is_along_the_path():
    assert embolus_of("acute", 0.5).length_mm == pytest.approx(24.0)
    assert embolus_of("web", 0.5).chronic
    assert not embolus_of("acute", 0.5).chronic


def test_outside_the_slab_there_is_nothing():
    far = Grid(shape=(4, 60, 60), spacing_mm=(0.5, 0.5, 0.5), first_mm=(50.0, -14.75, -14.75))
    assert embolus_of("acute", 0.5).fill(far.whole()) is None


def test_every_embolus_lies_inside_the_arteries():
    config = PhantomConfig(
        matrix_px=256,
        slices=128,
        emboli=(6, 6),
        min_artery_radius_mm=2.0,
        chronic_share=0.4,
        acute_and_chronic_share=0.6,
    )
    study = draw_phantom(np.random.default_rng(0), config, "positive")
    slab = study.grid.whole()
    artery = np.zeros(slab.shape, dtype=np.float32)
    lumen, inside = tubes(slab, *study.arteries.tubes())
    artery[lumen] = inside
    assert len(study.findings.emboli) == 6
    for embolus in study.findings.emboli:
        box, share = embolus.fill(slab)
        assert (share - artery[box]).max() < 1e-4


@pytest.mark.parametrize("saddle", [0.0, 1.0])
def test_central_emboli_are_asked_for(positive_study, saddle):
    config = PhantomConfig(emboli=(1, 1), saddle_share=saddle, chronic_share=0.0, acute_and_chronic_share=0.0)
    tree = positive_study.arteries
    (embolus,) = draw_emboli(np.random.default_rng(1), tree, positive_study.grid.whole(), config, central=True)
    sides = [tree.branches[index].side for index in embolus.branches if tree.branches[index].level == "main"]
    assert sides == (["right", "left"] if saddle else sides[:1])
    assert sides


def test_too_narrow_arteries_leave_the_main_ones(positive_study):
    config = PhantomConfig(emboli=(2, 2), min_artery_radius_mm=50.0)
    tree = positive_study.arteries
    emboli = draw_emboli(np.random.default_rng(2), tree, positive_study.grid.whole(), config, central=False)
    assert {tree.branches[embolus.branches[0]].level for embolus in emboli} == {"main"}
