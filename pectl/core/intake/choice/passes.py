"""The passes of the table inside one series, told apart by whatever tells: acquisitions, phases, reconstructions.

No attribute is reliable: numbers count rotations or slices, times are missing, a PACS merges series. So each is tried
in turn, and believed only where it parts the slices into few runs that lie over each other, as one pass can't do.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pectl.core.dicom.headers import DAY_SECONDS, SliceHeader
from pectl.core.intake.geometry import SAME_POSITION_MM, STEP_TOLERANCE, along_normal

_LEAST_MEAN = 5
"""Runs that are shorter than this on average say that an attribute counts something else."""
_CLOSER = 0.75
"""A slice that lies nearer than this share of the step before belongs to another run."""
_NO_VALUE: tuple[float, ...] = (-np.inf,)

_Slices = tuple[SliceHeader, ...]
_Sort = tuple[float, ...]
_Parts = tuple[list[_Slices], int]
"""The pieces, and how many values the attribute has."""


class Pass(NamedTuple):
    """The slices of one pass, and the attributes that tell it from the series' others."""

    headers: _Slices
    told_by: tuple[str, ...] = ()


def find_passes(headers: _Slices) -> list[Pass]:
    """Part the slices of a series into its passes; one where nothing says that there are several."""
    for name, part in _PARTS.items():
        pieces, n_values = part(headers)
        least = 1 if n_values == len(pieces) else 2  # of slices that are counted, one in a wrong place is no pass
        if _lie_over_each_other(headers, pieces, least=least):
            found = [one for piece in pieces for one in find_passes(piece)]
            return [Pass(one.headers, (name, *one.told_by)) for one in found]
    return [Pass(headers)]


def _lie_over_each_other(headers: _Slices, pieces: list[_Slices], *, least: int) -> bool:
    """Tell whether two of the pieces share a stretch of the table that holds `least` slices of each."""
    if len(pieces) < 2 or len(headers) < _LEAST_MEAN * len(pieces):
        return False
    at = dict(zip(map(id, headers), along_normal(headers).tolist(), strict=True))
    places = sorted((np.sort([at[id(one)] for one in piece]) for piece in pieces), key=lambda place: float(place[0]))
    reach = places[0]
    for place in places[1:]:
        low, high = place[0] - SAME_POSITION_MM, min(reach[-1], place[-1]) + SAME_POSITION_MM
        if min(((one >= low) & (one <= high)).sum() for one in (reach, place)) >= least:
            return True
        reach = max(reach, place, key=lambda one: float(one[-1]))
    return False


def _by_kind(kind: Callable[[SliceHeader], Hashable]) -> Callable[[_Slices], _Parts]:
    """Part by a value that has no order."""

    def part(headers: _Slices) -> _Parts:
        groups: dict[Hashable, list[SliceHeader]] = defaultdict(list)
        for header in headers:
            groups[kind(header)].append(header)
        return [tuple(group) for group in groups.values()], len(groups)

    return part


def _by_thickness(headers: _Slices) -> _Parts:
    """Part by SliceThickness, where rounding is no difference."""
    sizes = sorted({header.slice_thickness_mm or 0.0 for header in headers})
    edges = [high for low, high in pairwise(sizes) if high - low > max(STEP_TOLERANCE * high, SAME_POSITION_MM)]
    return _by_kind(lambda header: sum((header.slice_thickness_mm or 0.0) >= edge for edge in edges))(headers)


def _by_run(order: Callable[[SliceHeader], _Sort | None]) -> Callable[[_Slices], _Parts]:
    """Part where the table turns back, the slices taken in an order that a value gives; alike ones belong together."""

    def part(headers: _Slices) -> _Parts:
        places: dict[_Sort, list[int]] = defaultdict(list)
        for index, header in enumerate(headers):
            places[order(header) or _NO_VALUE].append(index)
        return _runs(headers, [places[value] for value in sorted(places)]), len(places)

    return part


def _runs(headers: _Slices, items: list[list[int]]) -> list[_Slices]:
    """Join items that go on in one direction; a new run begins where one lies over what there is, or turns back."""
    if len(items) == 1:
        return [headers]
    at = along_normal(headers)
    runs: list[list[int]] = []
    low = high = direction = step = 0.0
    for item in items:
        bottom, top = float(at[item].min()), float(at[item].max())
        ahead = max(bottom - high, low - top)
        way = 1.0 if bottom > high else -1.0
        if runs and ahead > max(SAME_POSITION_MM, _CLOSER * step) and direction in (0.0, way):
            runs[-1] += item
            low, high, direction, step = min(low, bottom), max(high, top), way, ahead
        else:
            runs.append(list(item))
            low, high, direction, step = bottom, top, 0.0, 0.0
    return [tuple(headers[index] for index in run) for run in runs]


def _by_time(headers: _Slices) -> _Parts:
    """Part by the time of day, which goes on after midnight: the longest pause is between the last and the first."""
    times = sorted({header.seconds for header in headers if header.seconds is not None})
    if len(times) < 2:
        return _by_kind(lambda header: header.seconds)(headers)
    pauses = np.diff(times, append=times[0] + DAY_SECONDS)
    start = times[(int(pauses.argmax()) + 1) % len(times)]
    return _by_run(lambda header: None if header.seconds is None else ((header.seconds - start) % DAY_SECONDS,))(
        headers
    )


def _numbers(text: str) -> _Sort | None:
    """Return an acquisition as it sorts; of a frame it has a number and a phase."""
    return tuple(float(part) for part in text.split(".")) if text else None


_PARTS: dict[str, Callable[[_Slices], _Parts]] = {
    "ImageType": _by_kind(lambda header: (header.image_type, header.content)),
    "ConvolutionKernel": _by_kind(lambda header: header.kernel),
    "SliceThickness": _by_thickness,
    "ContrastBolusAgent": _by_kind(lambda header: header.contrast),
    "TemporalPositionIdentifier": _by_run(lambda header: _numbers(header.phase)),
    "AcquisitionNumber": _by_run(lambda header: _numbers(header.acquisition)),
    "AcquisitionTime": _by_time,
    "InstanceNumber": _by_run(lambda header: None if header.instance is None else (header.instance,)),
}
"""How each attribute parts a series, the more telling ones first."""
