"""HU of the values of a volume file, judged by what is inside: air, soft tissue, and where values pile up.

DICOM says how its values become HU; other files are trusted to hold HU, and often don't. Only what is certain is
repaired: values that are HU + 1024. The rest is named, for the user to state a formula.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pectl.core.dicom.pixels import add_to_hu, scale_to_hu
from pectl.core.intake.findings import Finding
from pectl.core.storage.hounsfield import AIR_HU
from pectl.core.volumes.slices import Planes
from pectl.errors import StudyRefusedError

_STRIDE = 4
_SHIFT_HU = 1024
_NARROWEST = 50.0  # from the lowest to the highest value: of HU, air alone is noisier
_EIGHT_BIT = 255.0
_CLIPPED_HU, _LEAST_CLIPPED = -1000.0, 0.05
_ROOM_AIR, _ROOM_AIR_HU = (-1015, -985), (-1024, -900)
_TISSUE, _TISSUE_HU = (-150, 120), (-700, 400)
"""Where the most frequent value lies, and among which it is looked for."""
_LEAST_SHARE = 0.02

Rescale = tuple[float | None, float | None]
Sample = NDArray[np.float64]


class HuScale(NamedTuple):
    """How the values of a file become HU.

    `convert` writes HU of at least -1024 of some values (rows, columns) into an array of their shape; `n_padded` is in
    how many slices the corner lies below -1024.
    """

    convert: Callable[[NDArray[np.generic], NDArray[np.int16]], None]
    n_padded: int
    findings: list[Finding]


def hu_scale(planes: Planes, stated: Rescale) -> HuScale:
    """Find out how the values of a file become HU.

    Args:
        planes: (n, rows, columns), with the file's own slope and intercept.
        stated: slope and intercept that the user states of the values that result from those; None for both if not.

    Raises:
        StudyRefusedError: values that aren't finite, all alike, or of another scale than HU.
    """
    _check_finite(planes.values)
    slope, intercept, findings = _rescale(planes, stated)
    corners = planes.values[:, 0, 0].astype(np.float64) * slope + intercept
    return HuScale(_converter(planes.values.dtype, slope, intercept), int((corners < AIR_HU).sum()), findings)


def _check_finite(values: NDArray[np.generic]) -> None:
    if values.dtype.kind != "f":
        return
    bad = sum(int(np.size(plane) - np.isfinite(plane).sum()) for plane in values)
    if bad:
        found = f"{bad} of {values.size} that are NaN or infinite"
        raise _refused("not_finite", "numbers in all voxels", found, "write the value of air there")


def _rescale(planes: Planes, stated: Rescale) -> tuple[float, float, list[Finding]]:
    """Return slope and intercept from stored values to HU, and what was found."""
    slope, intercept = planes.slope, planes.intercept
    findings = []
    if stated[0] is not None and stated[1] is not None:
        slope, intercept = slope * stated[0], intercept * stated[0] + stated[1]
        findings.append(Finding("stated_values", f"value * {stated[0]:g} {stated[1]:+g}"))
    sample = planes.values[::_STRIDE, ::_STRIDE, ::_STRIDE].astype(np.float64) * slope + intercept
    _check_scale(sample)
    if _is_shifted(sample):
        intercept -= _SHIFT_HU
        findings.append(Finding("shifted_values", f"values from {sample.min():g} to {sample.max():g}"))
    share = float((sample == _CLIPPED_HU).mean())
    if sample.min() == _CLIPPED_HU and share >= _LEAST_CLIPPED:
        findings.append(Finding("clipped_at_air", f"{share:.0%} of the voxels at {_CLIPPED_HU:g} HU, none below"))
    return slope, intercept, findings


def _check_scale(sample: Sample) -> None:
    """Check that values aren't all alike, of 0 to 1, of a picture, or in standard deviations."""
    low, high = float(sample.min()), float(sample.max())
    found, fix = f"values from {low:.4g} to {high:.4g}", "state what makes HU of them, as in --values 'x*1600-1000'"
    if low == high:
        raise _refused("empty_volume", "air and tissue", f"{low:g} in all voxels", "export the volume again")
    if low >= -1 and high <= 1:
        raise _refused("scaled_values", "Hounsfield units", f"{found}: scaled to a range of 1 or 2", fix)
    if high - low < _NARROWEST:
        raise _refused("normalised_values", "Hounsfield units", f"{found}: as in standard deviations", fix)
    if low >= 0 and high <= _EIGHT_BIT:
        raise _refused("scaled_values", "Hounsfield units", f"{found}: 8 bits of some window", fix)


def _is_shifted(sample: Sample) -> bool:
    """Tell whether values are HU + 1024 for certain.

    Nothing is below 0, and the most frequent value of room air and that of soft tissue lie where they do in HU + 1024.
    Values of HU + 1000 aren't that: room air piles up at their lowest value.
    """
    if sample.min() < 0:
        return False
    hu = sample - _SHIFT_HU
    inside = hu[hu > AIR_HU]  # what is padded lies at 0
    return _peaks_in(inside, _ROOM_AIR_HU, _ROOM_AIR) and _peaks_in(inside, _TISSUE_HU, _TISSUE)


def _peaks_in(hu: Sample, among: tuple[int, int], where: tuple[int, int]) -> bool:
    """Tell whether the most frequent of some values lies in a range, and there are enough of them."""
    near = hu[(hu > among[0]) & (hu < among[1])]
    if len(near) < _LEAST_SHARE * len(hu) or not len(near):
        return False
    counts = np.bincount(np.rint(near - among[0]).astype(np.int64))
    return where[0] <= int(counts.argmax()) + among[0] <= where[1]


def _converter(
    dtype: np.dtype[np.generic], slope: float, intercept: float
) -> Callable[[NDArray[np.generic], NDArray[np.int16]], None]:
    """Return what turns a plane into HU: by an addition in 16 bits where that is exact."""
    if dtype in (np.int16, np.uint16) and slope == 1 and intercept.is_integer() and abs(intercept) <= 32767:
        return lambda plane, out: add_to_hu(plane, int(intercept), out)  # type: ignore[arg-type]
    return lambda plane, out: scale_to_hu(plane, slope, intercept, out)


def _refused(code: str, expected: str, found: str, fix: str) -> StudyRefusedError:
    return StudyRefusedError(code, where="values of the volume", expected=expected, found=found, fix=fix)
