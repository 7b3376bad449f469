from dataclasses import replace

import numpy as np
import pytest

from pectl.config import PhantomConfig
from pectl.phantom.acquisition import HALO_SLICES, KERNELS, add_noise, draw_scanner, scan
from pectl.phantom.grid import Grid

GRID = Grid(shape=(12, 96, 96), spacing_mm=(2.5, 1.5, 1.5), first_mm=(-100.0, -71.0, -71.0))
STILL = replace(
    draw_scanner(np.random.default_rng(0), PhantomConfig(), motion=False),
    kernel="STANDARD",
    noise_hu=20.0,
    pulsation_mm=0.0,
    streak_hu=0.0,
)


def noise_of(kernel):
    image = np.zeros((96, 96), dtype=np.float32)
    add_noise(image, np.random.default_rng(1), GRID.whole(), replace(STILL, kernel=kernel), -50.0)
    return image


def test_noise_has_the_configured_deviation():
    assert noise_of("STANDARD").std() == pytest.approx(20.0, rel=0.1)
    assert noise_of("LUNG").std() == pytest.approx(20.0 * KERNELS["LUNG"][1], rel=0.1)


def test_soft_kernels_have_coarser_noise():
    def neighbours(image):
        return np.corrcoef(image[:, 1:].ravel(), image[:, :-1].ravel())[0, 1]

    assert neighbours(noise_of("B20f")) > neighbours(noise_of("LUNG")) + 0.1


def padded(hu):
    return np.pad(hu, ((HALO_SLICES, HALO_SLICES), (0, 0), (0, 0)), mode="edge")


def test_a_still_scan_only_blurs():
    hu = np.zeros(GRID.shape, dtype=np.float32)
    hu[6, 40:60, 40:60] = 300.0
    result = scan(padded(hu), GRID.whole().widened(HALO_SLICES), STILL)
    assert result.shape == GRID.shape
    assert result.sum() == pytest.approx(hu.sum(), rel=1e-4)
    assert 0.0 < result[5, 50, 50] < result[6, 50, 50] < 300.0


def test_motion_smears_an_edge_further():
    hu = np.zeros(GRID.shape, dtype=np.float32)
    hu[:, 48:] = 300.0
    slab = GRID.whole().widened(HALO_SLICES)
    still = scan(padded(hu), slab, STILL)
    moved = scan(padded(hu), slab, replace(STILL, motion_mm=9.0))
    blurred = [((image > 15) & (image < 285))[:, 30:70, 48].sum() for image in (still, moved)]
    assert blurred[1] > 2 * blurred[0]


def test_streaks_stay_around_the_cava_and_spare_the_lung():
    grid = Grid(shape=(4, 96, 96), spacing_mm=(2.5, 2.0, 2.0), first_mm=(0.0, -95.0, -95.0))
    hu = np.full(grid.shape, 50.0, dtype=np.float32)
    hu[:, :20] = -800.0
    result = scan(padded(hu), grid.whole().widened(HALO_SLICES), replace(STILL, streak_hu=30.0))
    assert np.abs(result[:, 30:45, 30:45] - 50.0).max() > 10.0
    np.testing.assert_allclose(result[:, :18], -800.0, atol=0.1)
    np.testing.assert_allclose(result[:, 60:, 80:], 50.0, atol=0.1)


def test_only_indeterminate_studies_move():
    rng = np.random.default_rng(3)
    assert draw_scanner(rng, PhantomConfig(), motion=True).motion_mm > 5.0
    assert draw_scanner(rng, PhantomConfig(), motion=False).motion_mm == 0.0


def scanners(**fields):
    rng, config = np.random.default_rng(0), PhantomConfig(**fields)
    return [draw_scanner(rng, config, motion=False) for _ in range(2000)]


def test_kernels_occur_as_often_as_their_shares_say():
    drawn = [scanner.kernel for scanner in scanners()]
    assert {name: drawn.count(name) / len(drawn) for name in KERNELS} == pytest.approx(
        {name: share for name, (_, _, share) in KERNELS.items()}, abs=0.03
    )


def test_only_the_configured_kernels_and_thicknesses_occur():
    drawn = scanners(kernels=("B60f", "LUNG"), thickness_to_step=(2.0,))
    assert {scanner.kernel for scanner in drawn} == {"B60f", "LUNG"}
    assert {scanner.thickness_to_step for scanner in drawn} == {2.0}
