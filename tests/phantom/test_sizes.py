import numpy as np
import pytest

from pectl.config import PhantomConfig
from pectl.phantom.placement import draw_emboli, slices_with
from pectl.phantom.sizes import draw_count, draw_sized, draw_volumes
from pectl.phantom.study import draw_phantom
from pectl.phantom.tubes import tubes

CONFIG = PhantomConfig(
    matrix_px=256,
    slices=128,
    emboli=(1, 6),
    embolus_mm3=(50.0, 26500.0),
    lumen_share=(0.5, 0.9),
    central_share=0.2,
    chronic_share=0.0,
    acute_and_chronic_share=0.0,
)


@pytest.fixture(scope="module")
def fine():
    return draw_phantom(np.random.default_rng(2), CONFIG, "negative")


def drawn_volumes(studies):
    rng = np.random.default_rng(0)
    central = rng.random(studies) < CONFIG.central_share
    drawn = [
        draw_volumes(rng, CONFIG.embolus_mm3, CONFIG, draw_count(rng, CONFIG), central=bool(asked)) for asked in central
    ]
    return drawn, central


def test_volumes_have_the_configured_percentiles_and_the_first_is_the_largest_as_a_rule():
    drawn, central = drawn_volumes(5000)
    np.testing.assert_allclose(np.percentile(np.concatenate(drawn), [5, 95]), [50.0, 26500.0], rtol=0.2)
    assert np.median(np.concatenate(drawn)) == pytest.approx(np.sqrt(50.0 * 26500.0), rel=0.15)
    first = np.array([volumes[0] for volumes in drawn])
    assert first[central].min() >= first[~central].max()
    others = np.concatenate([volumes[1:] for volumes in drawn])
    assert np.median(first) > 3.0 * np.median(others)


def test_few_emboli_are_more_frequent_than_many():
    rng = np.random.default_rng(1)
    counts = np.bincount([draw_count(rng, CONFIG) for _ in range(5000)], minlength=8)
    assert counts[0] == counts[7] == 0
    log_uniform = np.log(np.arange(2, 8) / np.arange(1, 7)) / np.log(7.0)
    np.testing.assert_allclose(counts[1:7] / 5000, log_uniform, atol=0.02)


@pytest.mark.parametrize("volume_mm3", [300.0, 3000.0, 25000.0])
def test_an_embolus_has_about_its_volume_and_thickness_and_lies_in_arteries(fine, volume_mm3):
    slab = fine.grid.whole()
    artery = np.zeros(slab.shape, dtype=np.float32)
    lumen, inside = tubes(slab, *fine.arteries.tubes())
    artery[lumen] = inside
    found = []
    for seed in range(8):
        embolus = draw_sized(np.random.default_rng(seed), fine.arteries, "acute", volume_mm3, CONFIG)
        box, share = embolus.fill(slab)
        assert (share - artery[box]).max() < 1e-4
        assert len(embolus.radii_mm) == len(embolus.path) - 1
        found.append((share > 0.5).sum() * np.prod(slab.grid.spacing_mm))
    assert np.median(found) == pytest.approx(volume_mm3, rel=0.3)


def test_a_large_embolus_rides_on_the_bifurcation(fine):
    embolus = draw_sized(np.random.default_rng(3), fine.arteries, "acute", 60000.0, CONFIG)
    sides = {fine.arteries.branches[index].side for index in embolus.branches}
    assert sides == {"right", "left"}
    assert embolus.radii_mm.max() > 8.0


def test_the_first_embolus_shows_and_the_others_are_there(fine):
    slab = fine.grid.whole()
    small = CONFIG.model_copy(update={"embolus_mm3": (8.0, 30.0), "present_area_mm2": 25.0, "emboli": (4, 4)})
    emboli = draw_emboli(np.random.default_rng(5), fine.arteries, slab, small, central=False)
    assert slices_with(emboli[0], slab, 25.0).any()
    assert len(emboli) == 4
    assert all((embolus.fill(slab)[1] > 0.5).any() for embolus in emboli)
    assert not any(slices_with(embolus, slab, 25.0).any() for embolus in emboli[1:])
