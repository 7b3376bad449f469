"""Does a chest stand on its head? Then the sign of z is wrong, and with it left and right.

Two signs have to agree. The lungs lie apart below, around heart and liver, and close together above; and above them is
the windpipe. DICOM says where the head is; a volume file can be wrong about it, and an array doesn't say it.

Measured: the share of the box around the lungs that they fill is 0.15, 0.22 and 0.33 smaller in the lower third than in
the upper one in three real chests, 0.22 to 0.34 larger in the same turned over. Above the lungs are 1.1 to 2.6 cm2 of
air a slice in four real scans, at most 0.1 cm2 in them turned over. In phantoms the lungs differ by 0.03 to 0.08 alone,
so one turned over isn't told; nor is a scan that shows the upper lungs alone.
"""

import numpy as np
from numpy.typing import NDArray

from pectl.core.intake.coarse import Coarse
from pectl.errors import StudyRefusedError

_FULLER_BELOW = 0.1
_WINDPIPE_CM2, _BESIDE_MM = 0.4, 25.0
_AIR_HU = -500


def check_upright(coarse: Coarse, body: NDArray[np.bool_], lungs: NDArray[np.bool_]) -> None:
    """Check that a chest doesn't stand on its head.

    Args:
        coarse: the volume.
        body: (D, H, W), the body as a solid.
        lungs: (D, H, W), the air of the lungs.

    Raises:
        StudyRefusedError: by both signs it does.
    """
    shown = np.flatnonzero(lungs.any(axis=(1, 2)))
    third = len(shown) // 3
    if third == 0:
        return
    below, above = _filled(lungs[shown[:third]]), _filled(lungs[shown[-third:]])
    windpipe = _air_cm2(coarse, body & ~lungs, int(shown[-1]) + 1, lungs)
    if below - above > _FULLER_BELOW and windpipe < _WINDPIPE_CM2:
        raise StudyRefusedError(
            "upside_down",
            where="lungs",
            expected="lungs that lie closer together above, and the windpipe over them",
            found=f"{below:.0%} of their box filled below, {above:.0%} above, {windpipe:.1f} cm2 of air over them",
            fix="turn the volume over along z, in its header or its voxels, whichever is wrong",
        )


def _filled(lungs: NDArray[np.bool_]) -> float:
    """Return the mean share that lungs fill of the box around them in each slice."""
    shares = []
    for rows, columns in map(np.nonzero, lungs):
        if len(rows):
            shares.append(len(rows) / ((np.ptp(rows) + 1) * (np.ptp(columns) + 1)))
    return float(np.mean(shares)) if shares else 0.0


def _air_cm2(coarse: Coarse, outside: NDArray[np.bool_], top: int, lungs: NDArray[np.bool_]) -> float:
    """Return the mean air a slice near the middle, in the body above the lungs; 0 where nothing is shown of it."""
    if top >= len(outside):
        return 0.0
    _, dy, dx = coarse.spacing_mm
    columns = np.flatnonzero(lungs.any(axis=(0, 1)))
    middle, reach = int(columns[0] + columns[-1]) // 2, max(1, round(_BESIDE_MM / dx))
    near = slice(max(0, middle - reach), middle + reach)
    air = outside[top:, :, near] & (coarse.hu[top:, :, near] < _AIR_HU)
    return float(air.sum(axis=(1, 2)).mean()) * dy * dx / 100.0
