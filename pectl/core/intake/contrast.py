"""Is there contrast in the great vessels? Without it a scan is no pulmonary angiogram.

Heart, pulmonary trunk and aorta hold decilitres of blood between the lungs. The measure is the HU that the brightest
15 ml of the central mediastinum reach after a mean over 12 mm: neither noise nor streaks nor calcium decide. Bones stay
out by where the lungs are, slice by slice: well behind their front (breast bone) and in front of the spine. Contrast
that has gone on to the aorta counts as contrast.

Measured: 58 to 62 HU in three real chests without contrast; 212, 247 and 333 HU in single slices of three real CT
pulmonary angiograms, 177 HU in the upper chest of a neck CT with contrast, 660 HU in a crop around the heart of a CT
angiogram. Phantoms: 33 to 62 HU without contrast; 110 to 173 HU where it has gone through to the left side (arteries of
86 to 114 HU); 254 HU or more with arteries of 250 HU and above, tumours, fluid and collapsed lungs among them.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pectl.core.intake.coarse import Coarse
from pectl.core.intake.findings import Finding

LEAST_HU = 93.0
"""Blood below this hides even acute emboli (Wittram, AJR 188:1255, 2007); without contrast it has 30 to 60 HU."""
_VESSEL_ML = 15.0
"""Less than a pulmonary trunk holds, more than calcium or a catheter's streaks."""
_MEAN_MM = 12.0
_LEAST_PLACE_ML = 100.0
_DEPTH, _HEIGHT, _WIDTH = (0.25, 0.8), (0.15, 0.55), (0.3, 0.7)
"""The central mediastinum as shares of the lungs' extent: upwards, to the back (in each slice), across."""


def contrast_findings(coarse: Coarse, lungs: NDArray[np.bool_], *, width: tuple[int, int]) -> list[Finding]:
    """Warn where no great vessel holds contrast.

    Args:
        coarse: the volume.
        lungs: (D, H, W), the air of the lungs.
        width: columns from the right to the left chest wall.
    """
    bright = vessel_hu(coarse, lungs, width=width)
    if bright is None or bright >= LEAST_HU:
        return []
    return [Finding("no_contrast", f"{bright:.0f} HU in the brightest {_VESSEL_ML:g} ml between the lungs")]


def vessel_hu(coarse: Coarse, lungs: NDArray[np.bool_], *, width: tuple[int, int]) -> float | None:
    """Return the HU that the brightest 15 ml of the central mediastinum reach, None where hardly any of it is shown."""
    place = _mediastinum(lungs, width)
    voxel_ml = float(np.prod(coarse.spacing_mm)) / 1000.0
    if place.sum() * voxel_ml < _LEAST_PLACE_ML:
        return None
    size = [max(1, round(_MEAN_MM / step)) for step in coarse.spacing_mm]
    mean = ndimage.uniform_filter(coarse.hu.astype(np.float32), size, mode="nearest")[place]
    rank = max(1, round(_VESSEL_ML / voxel_ml))
    return float(np.partition(mean, -rank)[-rank])


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
