"""Scans put together from what headers part: passes of one series that continue each other, one scan in several series.

Two parts are one scan where geometry, kernel and kind agree, one lies beside the other or fills its gaps, and both show
the same phase of contrast. Where they overlap, the slices of the larger part are used.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pectl.core.dicom.headers import SliceHeader
from pectl.core.intake.choice.brightness import other_phase
from pectl.core.intake.choice.candidates import Candidate
from pectl.core.intake.choice.passes import find_passes
from pectl.core.intake.geometry import (
    SAME_POSITION_MM,
    STEP_TOLERANCE,
    Vector,
    along_normal,
    distinct,
    median_step,
    normal_of,
    same_geometry,
)

_GAP_STEPS = 1.5
_STEEPEST = 0.6  # tangent of the largest tilt of a gantry, 30 degrees
_MOST_COMPARED = 16


def assemble(headers: Iterable[SliceHeader], *, max_gap_mm: float) -> list[Candidate]:
    """Return every scan among the axial slices of a study, by SeriesInstanceUID.

    Args:
        headers: slices with position, orientation and pixel spacing.
        max_gap_mm: parts with a larger gap between them aren't one scan.
    """
    series: dict[str, list[SliceHeader]] = defaultdict(list)
    for header in headers:
        series[header.series_uid].append(header)
    scans = [scan for uid in sorted(series) for scan in _scans_of(uid, tuple(series[uid]), max_gap_mm)]
    joined = _join_all(scans, max_gap_mm) if len(scans) > 1 else scans
    return sorted(joined, key=lambda scan: scan.uid)


def _scans_of(uid: str, headers: tuple[SliceHeader, ...], max_gap_mm: float) -> list[Candidate]:
    """Return the scans of one series."""
    whole = Candidate(uid, headers, n_images=len(headers))
    if len(whole.position_mm) == 1:
        return [whole]  # bolus tracking, not several scans
    passes = find_passes(headers)
    told_by = tuple(dict.fromkeys(name for one in passes for name in one.told_by))
    parts = [Candidate(uid, one.headers, len(passes), len(headers), told_by) for one in passes]
    return _join_all(parts, max_gap_mm) if len(parts) > 1 else parts


def _join_all(parts: list[Candidate], max_gap_mm: float) -> list[Candidate]:
    """Join what continues each other, from one end of the table to the other."""
    scans: list[Candidate] = []
    for part in sorted(parts, key=lambda one: (float(one.position_mm[0]), -len(one.headers), one.uid)):
        for place in range(len(scans) - 1, max(-1, len(scans) - 1 - _MOST_COMPARED), -1):
            if (joined := _join(scans[place], part, max_gap_mm)) is not None:
                scans[place] = joined
                break
        else:
            scans.append(part)
    return scans


def _join(first: Candidate, second: Candidate, max_gap_mm: float) -> Candidate | None:
    """Return both as one scan; None where they aren't one."""
    large, small = sorted((first, second), key=lambda one: -len(one.position_mm))
    if not same_geometry(large.headers[0], small.headers[0]):
        return None
    at = along_normal((large.headers[0], *small.headers))[1:]
    more = _beyond(large.position_mm, at)
    if 2 * len(distinct(at[more])) < len(small.position_mm) or not _fits(large, small, at, max_gap_mm):
        return None
    if other_phase(large.headers, small.headers):
        return None
    added = tuple(header for header, new in zip(small.headers, more, strict=True) if new)
    across = large.uid != small.uid
    return replace(
        large,
        headers=(*large.headers, *added),
        n_images=large.n_images + small.n_images if across else large.n_images,
        n_passes=max(large.n_passes, small.n_passes),
        told_by=tuple(dict.fromkeys((*large.told_by, *small.told_by))),
    )


def _beyond(position_mm: Vector, at: Vector) -> NDArray[np.bool_]:
    """Tell which places lie half a step or more beyond the ends of a scan, or in its gaps."""
    step = median_step(position_mm)
    after = np.searchsorted(position_mm, at)
    low = np.append(-np.inf, position_mm)[after]
    high = np.append(position_mm, np.inf)[after]
    far = np.minimum(at - low, high - at) > max(step / 2, SAME_POSITION_MM)
    beyond: NDArray[np.bool_] = far & (high - low > _GAP_STEPS * step)
    return beyond


def _fits(large: Candidate, small: Candidate, at: Vector, max_gap_mm: float) -> bool:
    """Tell whether the headers allow that two candidates are parts of one scan."""
    inside = at.min() > large.position_mm[0] and at.max() < large.position_mm[-1]
    if inside and large.uid == small.uid:
        return True  # it fills a gap
    return _same_kind(large, small) and _same_step(large, small) and _meet(large, small, at, max_gap_mm)


def _same_kind(large: Candidate, small: Candidate) -> bool:
    first, second = large.headers[0], small.headers[0]
    if large.uid != small.uid and first.contrast != second.contrast:
        return False
    names = ("frame_of_reference", "kernel", "content", "image_type")
    return all(getattr(first, name) == getattr(second, name) for name in names)


def _same_step(large: Candidate, small: Candidate) -> bool:
    """Tell whether steps and thicknesses agree, as far as there are any."""
    sizes = [(large.thickness_mm, small.thickness_mm)]
    if min(len(large.position_mm), len(small.position_mm)) > 2:
        sizes.append((large.step_mm, small.step_mm))
    return all(abs(one - other) <= max(STEP_TOLERANCE * one, SAME_POSITION_MM) for one, other in sizes)


def _meet(large: Candidate, small: Candidate, at: Vector, max_gap_mm: float) -> bool:
    """Tell whether the ends meet without a larger gap, on one line along the normal but for a tilted gantry."""
    ends = along_normal(large.headers)
    below = at.mean() < ends.mean()
    near_large = large.headers[int(ends.argmin() if below else ends.argmax())]
    near_small = small.headers[int(at.argmax() if below else at.argmin())]
    normal = normal_of(near_large.orientation)
    between = np.subtract(near_small.position or (), near_large.position or ())
    along = float(between @ normal)
    gap = -along if below else along
    aside = float(np.linalg.norm(between - along * normal))
    pixel = max(near_large.pixel_spacing_mm or (1.0,))
    step = large.step_mm or small.step_mm or max_gap_mm
    return gap - step <= max(max_gap_mm, step / 2) + SAME_POSITION_MM and aside <= pixel + _STEEPEST * abs(along)
