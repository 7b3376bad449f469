"""How bright is contrast in the great vessels? Without any, a scan is no pulmonary angiogram.

Heart, pulmonary trunk and aorta hold decilitres of blood between the lungs. The measure is the HU that two thirds of a
cube of 24 mm reach, where it is brightest: neither noise nor streaks nor calcium decide, nor the superior vena cava,
which is thinner and holds undiluted contrast. Bones stay out by where the lungs are, slice by slice: well behind their
front (breast bone) and in front of the spine. Contrast that has gone on to the aorta counts as contrast.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pectl.core.intake.coarse import Coarse
from pectl.core.intake.findings import Finding

LEAST_HU = 93.0
"""Blood below this hides even acute emboli (Wittram, AJR 188:1255, 2007); without contrast it has 30 to 60 HU."""
_CUBE_MM = 24.0
"""A pulmonary trunk is 25 to 29 mm wide, a superior vena cava about 20."""
_FILLED = 0.65
"""About two thirds: a round vessel as wide as the cube fills 0.79 of it, one of 20 mm 0.55."""
_BRIGHTEST_ML = 1.0
"""The cubes' middles: the measure doesn't hang on a single one."""
_RANGE_HU = (-200, 3072)
_LEAST_PLACE_ML = 100.0
_DEPTH, _HEIGHT, _WIDTH = (0.25, 0.8), (0.15, 0.55), (0.3, 0.7)
"""The central mediastinum as shares of the lungs' extent: upwards, to the back (in each slice), across."""


def contrast_findings(bright: float) -> list[Finding]:
    """Warn where no great vessel holds contrast.

    Args:
        bright: of `vessel_hu`; NaN says nothing.
    """
    if not bright < LEAST_HU:
        return []
    return [Finding("no_contrast", f"{bright:.0f} HU in the great vessels between the lungs")]


def vessel_hu(coarse: Coarse, lungs: NDArray[np.bool_], *, width: tuple[int, int]) -> float:
    """Return the HU of the great vessels, to 1 HU: NaN where hardly any of the central mediastinum is shown.

    Args:
        coarse: the volume.
        lungs: (D, H, W), the air of the lungs.
        width: columns from the right to the left chest wall.
    """
    place = _mediastinum(lungs, width)
    voxel_ml = float(np.prod(coarse.spacing_mm)) / 1000.0
    if place.sum() * voxel_ml < _LEAST_PLACE_ML:
        return math.nan
    size = [max(1, round(_CUBE_MM / step)) for step in coarse.spacing_mm]
    around = tuple(
        slice(max(0, int(at.min()) - n), int(at.max()) + 1 + n) for at, n in zip(np.nonzero(place), size, strict=True)
    )
    hu, place = coarse.hu[around], place[around]
    least = max(1, round(_BRIGHTEST_ML / voxel_ml))
    below, above = _RANGE_HU
    while above - below > 1:  # fewer cubes are filled at a higher level
        level = (below + above) // 2
        filled = ndimage.uniform_filter((hu >= level).astype(np.float32), size, mode="nearest")
        if np.count_nonzero(filled[place] >= _FILLED) >= least:
            below = level
        else:
            above = level
    return float(below)


def _mediastinum(lungs: NDArray[np.bool_], width: tuple[int, int]) -> NDArray[np.bool_]:
    place = np.zeros_like(lungs)
    shown = np.flatnonzero(lungs.any(axis=(1, 2)))
    columns = _part((width[0], width[1]), _WIDTH)
    for d in range(*_part((int(shown[0]), int(shown[-1]) + 1), _DEPTH)):
        rows = np.flatnonzero(lungs[d].any(axis=1))
        if rows.size:
            place[d, slice(*_part((int(rows[0]), int(rows[-1]) + 1), _HEIGHT)), slice(*columns)] = True
    return place


def _part(edge: tuple[int, int], shares: tuple[float, float]) -> tuple[int, int]:
    start, stop = edge
    return int(start + shares[0] * (stop - start)), int(np.ceil(start + shares[1] * (stop - start)))
