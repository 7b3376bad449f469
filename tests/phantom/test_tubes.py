import numpy as np
import pytest

from pectl.phantom.grid import Grid, Slab
from pectl.phantom.tubes import ball, capsule, tubes

GRID = Grid(
    shape=(40, 50, 60),
    spacing_mm=(1.5, 1.0, 1.0),
    first_mm=(-30.0, -25.0, -30.0),
    angle_rad=0.3,
    offset_lps_mm=(5.0, -7.0, 11.0),
)
STARTS = np.array([(-15.0, -10.0, -18.0), (10.0, 8.0, -5.0)])
ENDS = np.array([(12.0, 6.0, 15.0), (-8.0, 3.0, 10.0)])


def tubes_share(slab, starts, ends, radii):
    """What tubes fill of each voxel of a slab."""
    share = np.zeros(slab.shape, dtype=np.float32)
    painted = tubes(slab, starts, ends, radii)
    if painted is not None:
        share[painted[0]] = painted[1]
    return share


@pytest.mark.parametrize("radius", [0.4, 0.7, 4.0])
def test_volume_is_that_of_a_tube(radius):
    share = tubes_share(GRID.whole(), STARTS[:1], ENDS[:1], np.array([radius]))
    length = np.linalg.norm(ENDS[0] - STARTS[0])
    volume = np.pi * radius**2 * length + (4 / 3 * np.pi * radius**3 if radius > 1 else 0.0)
    assert share.sum() * 1.5 == pytest.approx(volume, rel=0.04)


def test_slabs_join_to_the_whole():
    radii = np.array([3.0, 0.5])
    whole = tubes_share(GRID.whole(), STARTS, ENDS, radii)
    parts = [tubes_share(Slab(GRID, start, start + 10), STARTS, ENDS, radii) for start in range(0, 40, 10)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_capsule_is_the_distance_to_a_line():
    box, distance = capsule(GRID.whole(), STARTS[0], ENDS[0], 3.0)
    index = np.stack(np.meshgrid(*[np.arange(p.start, p.stop) for p in box], indexing="ij"), axis=-1)
    lps = index.reshape(-1, 3) @ GRID.affine[:3, :3].T + GRID.affine[:3, 3]
    a, b = GRID.to_lps(STARTS[:1])[0], GRID.to_lps(ENDS[:1])[0]
    t = np.clip((lps - a) @ (b - a) / ((b - a) @ (b - a)), 0.0, 1.0)
    expected = np.linalg.norm(lps - a - t[:, None] * (b - a), axis=1) - 3.0
    np.testing.assert_allclose(distance.ravel(), expected, atol=1e-3)


def test_nothing_outside_the_slab():
    assert ball(GRID.whole(), np.array([500.0, 0.0, 0.0]), 5.0) is None
    assert tubes(GRID.whole(), STARTS + 500.0, ENDS + 500.0, np.array([3.0, 0.3])) is None


def test_index_and_lps_agree():
    points = np.random.default_rng(0).uniform(-20, 20, (10, 3))
    index = np.column_stack([GRID.to_index(points), np.ones(10)])
    np.testing.assert_allclose((index @ GRID.affine.T)[:, :3], GRID.to_lps(points), atol=1e-9)
