"""A chest that stands on its head is told by its lungs and its windpipe, and only if both say so."""

import numpy as np
import pytest

from pectl.core.intake.coarse import Coarse
from pectl.core.intake.upside_down import check_upright
from pectl.errors import StudyRefusedError


def _chest(*, windpipe: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU, body and lungs (D, H, W) of 4 mm: lungs apart below, beside each other above, a windpipe over them."""
    hu = np.full((40, 30, 60), 40, np.int16)
    body = np.ones(hu.shape, bool)
    lungs = np.zeros(hu.shape, bool)
    for z in range(30):
        gap = 12 - z // 3
        lungs[z, 5:25, 8 : 30 - gap] = lungs[z, 5:25, 30 + gap : 52] = True
    hu[lungs] = -850
    if windpipe:
        hu[30:, 14:18, 28:32] = -950
    return hu, body, lungs


def _turned(parts: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return tuple(part[::-1] for part in parts)


def _check(parts: tuple[np.ndarray, ...]) -> None:
    hu, body, lungs = parts
    check_upright(Coarse(hu, np.arange(len(hu)), (1.0, 1.0), (4.0, 4.0, 4.0)), body, lungs)


def test_an_upright_chest_and_one_whose_windpipe_isnt_shown_pass() -> None:
    _check(_chest())
    _check(_chest(windpipe=False))


def test_a_chest_on_its_head_is_refused() -> None:
    with pytest.raises(StudyRefusedError) as error:
        _check(_turned(_chest()))
    assert error.value.code == "upside_down"
    assert error.value.found == "81% of their box filled below, 51% above, 0.0 cm2 of air over them"
    assert error.value.fix == "turn the volume over along z, in its header or its voxels, whichever is wrong"


def test_lungs_that_are_cut_off_above_pass_if_the_windpipe_is_over_them() -> None:
    hu, body, lungs = _chest()
    hu, lungs = hu[::-1].copy(), lungs[::-1]
    top = int(np.flatnonzero(lungs.any(axis=(1, 2)))[-1]) + 1
    hu, body, lungs = (np.concatenate([part[:top], part[:10]]) for part in (hu, body, lungs & True))
    hu[top:], lungs[top:] = 40, False
    hu[top:, 14:18, 28:32] = -950
    _check((hu, body, lungs))


def test_what_shows_hardly_any_lung_isnt_judged() -> None:
    hu, body, lungs = _turned(_chest())
    lungs = np.zeros_like(lungs)
    lungs[20:22, 5:25, 8:20] = True
    _check((hu, body, lungs))
