"""What points without a model: a random position in the lungs, and the brightest vessel."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from pectl.core.intake.coarse import COARSE_MM
from pectl.core.intake.lungs import lungs_in
from pectl.core.stores.study_store import Study

VESSEL_HU = (150.0, 500.0)
"""Contrast in a vessel; averages above are bone."""
VESSEL_MM = 5.0
"""A vessel's brightness is the mean over a cube of this side."""


class Measured(NamedTuple):
    """One measure of one study, of the heat and of both baselines; larger is better, NaN is undefined.

    `random_lung` is what a random position in the lungs gets on average: exact, not drawn.
    """

    heat: float
    random_lung: float
    brightest_vessel: float


def lung_positions(study: Study) -> NDArray[np.intp]:
    """Return grid indices (n, 3) on a lattice of about 4 mm in the aerated lungs; in all the grid without any."""
    lungs, steps = _coarse_lungs(study)
    return np.argwhere(lungs) * steps


def lung_mask(study: Study) -> NDArray[np.bool_]:
    """Return the same as a mask (D, S, S), each place of the lattice as a block."""
    lungs, steps = _coarse_lungs(study)
    for axis, step in enumerate(steps):
        lungs = np.repeat(lungs, step, axis=axis)
    depth, height, width = study.hu.shape
    return lungs[:depth, :height, :width]


def _coarse_lungs(study: Study) -> tuple[NDArray[np.bool_], list[int]]:
    """Return the aerated lungs on a lattice, and its steps; all of it where there are none."""
    steps = [max(1, round(COARSE_MM / spacing)) for spacing in study.spacing_mm]
    coarse = study.hu[:: steps[0], :: steps[1], :: steps[2]]
    dz, dy, dx = (step * spacing for step, spacing in zip(steps, study.spacing_mm, strict=True))
    lungs = lungs_in(coarse, (dz, dy, dx))
    return (lungs if lungs.any() else np.ones_like(lungs)), steps


def vessel_brightness(study: Study) -> NDArray[np.float32]:
    """Return (D, S, S): mean HU of a cube around each voxel, 0 unless it is that of a filled vessel."""
    size = [max(1, round(VESSEL_MM / step)) for step in study.spacing_mm]
    mean = uniform_filter(study.hu.astype(np.float32), size)
    mean[(mean < VESSEL_HU[0]) | (mean > VESSEL_HU[1])] = 0
    return np.asarray(mean, np.float32)
