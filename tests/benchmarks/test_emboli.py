"""The measures of `python -m benchmarks.quality.emboli`, on hand-made masks, and the phantoms against patients."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.emboli import CLOTS, MM3, REAL, SHARE, draw, measure, parts_of, table
from pectl.config import PhantomConfig, load_config


def test_parts_that_touch_at_a_corner_are_one_and_thickness_is_in_mm() -> None:
    mask = np.zeros((12, 20, 20), dtype=bool)
    mask[1:4, 1:6, 1:6] = True
    mask[4, 6, 6] = True  # touches the box at a corner
    mask[9, 15:17, 15] = True
    volumes, thickest = parts_of(mask, (2.0, 1.0, 1.0))
    assert volumes == [152.0, 4.0]
    assert thickest == [6.0, 2.0]  # from the box's middle it is 3 mm to the nearest voxel outside


def test_the_table_has_the_distance_where_real_sizes_are_had() -> None:
    ours = {name: np.arange(1.0, 6.0) for name in REAL}
    real = {name: np.arange(1.0, 6.0) for name in REAL} | {CLOTS: np.arange(2.0, 7.0)}
    lines = table(ours, real).splitlines()
    assert lines[2] == "| clots a patient | 1, 2, 6 | 1.2, 3, 4.8 | 0.20 |"
    assert lines[4].endswith("| 0.00 |")
    assert table(ours, None).splitlines()[4].endswith("|  |")


def test_small_phantoms_are_measured_and_drawn(tmp_path: Path) -> None:
    config = PhantomConfig(matrix_px=64, slices=24, emboli=(2, 2))
    found = measure(config, 2, seed=3)
    assert len(found[CLOTS]) == len(found[SHARE]) == 2
    assert found[CLOTS].sum() == len(found[MM3])
    assert (found[SHARE] > 0.0).all()
    draw(found, tmp_path / "emboli.png")
    assert (tmp_path / "emboli.png").stat().st_size > 5000


@pytest.mark.slow
def test_realistic_phantoms_have_emboli_like_those_of_patients() -> None:
    """Medians and upper ends within a factor, and small ones at the lower end."""
    found = measure(load_config(Path("phantom_realistic"), []).phantom, 100, seed=0)
    for name, (low, middle, high) in REAL.items():
        small, median, large = np.percentile(found[name], [5, 50, 95])
        assert 1 / 1.7 < median / middle < 1.7, name
        assert small < 2.5 * low, name
        assert 0.5 < large / high < 1.8, name
