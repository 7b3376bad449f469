"""The lung box on the grid of the study store: regular steps along D, a square of fixed size in plane."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pectl.core.intake.lungs import Box
from pectl.core.intake.volume import Volume
from pectl.core.storage.hounsfield import AIR_HU

_SAME_STEP = 0.01
"""Steps that differ by less are the same: the grid then takes the source slices as they are."""


@dataclass(frozen=True)
class Grid:
    """The resampled box.

    `hu` int16 (D, S, S); `position_mm` (D,) along the normal; `spacing_mm` (dz, dy, dx); `affine` (4, 4)
    takes (d, h, w, 1) to the LPS centre of the voxel in mm; `nearest_source` (D,) is an index into the
    volume's slices; `nearest_grid` (n,) the grid slice nearest to each source slice, -1 outside the box.
    """

    hu: NDArray[np.int16]
    position_mm: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    affine: NDArray[np.float64]
    nearest_source: NDArray[np.intp]
    nearest_grid: NDArray[np.int32]


def resample_box(volume: Volume, box: Box, *, slice_spacing_mm: float, in_plane_px: int) -> Grid:
    """Resample the box: in plane first, slice by slice, then along D."""
    square = _square(box, volume.stack.pixel_spacing_mm)
    planes = _resize_planes(volume.hu[box.d[0] : box.d[1]], square, in_plane_px)
    source_mm = volume.stack.position_mm[box.d[0] : box.d[1]]
    position_mm, weights = _depth_weights(source_mm, slice_spacing_mm)
    spacing = (slice_spacing_mm, *_in_plane_spacing(square, volume.stack.pixel_spacing_mm, in_plane_px))
    return Grid(
        hu=_combine(planes, weights),
        position_mm=position_mm,
        spacing_mm=spacing,
        affine=_affine(volume, square, position_mm[0], spacing),
        nearest_source=box.d[0] + nearest(source_mm, position_mm),
        nearest_grid=_nearest_grid(volume.stack.position_mm, box, position_mm),
    )


def _square(box: Box, pixel_spacing_mm: tuple[float, float]) -> Box:
    """Widen the box in plane, about its centre, to the side of its longer edge in mm."""
    side_mm = max((stop - start) * step for (start, stop), step in zip((box.h, box.w), pixel_spacing_mm, strict=True))
    h, w = (_widen(edge, round(side_mm / step)) for edge, step in zip((box.h, box.w), pixel_spacing_mm, strict=True))
    return Box(box.d, h, w)


def _widen(edge: tuple[int, int], size: int) -> tuple[int, int]:
    start = (edge[0] + edge[1] - size) // 2
    return start, start + size


def _resize_planes(hu: NDArray[np.int16], square: Box, in_plane_px: int) -> NDArray[np.int16]:
    """Cut the square out of each slice, -1024 outside the source, and resize it to (S, S)."""
    height, width = hu.shape[1:]
    rows = slice(max(0, square.h[0]), min(height, square.h[1]))
    columns = slice(max(0, square.w[0]), min(width, square.w[1]))
    pads = (
        rows.start - square.h[0],
        square.h[1] - rows.stop,
        columns.start - square.w[0],
        square.w[1] - columns.stop,
    )
    shrink = min(square.h[1] - square.h[0], square.w[1] - square.w[0]) >= in_plane_px
    method = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    planes = np.empty((len(hu), in_plane_px, in_plane_px), np.int16)
    for source, target in zip(hu, planes, strict=True):
        cut = source[rows, columns]
        if any(pads):
            cut = cv2.copyMakeBorder(cut, *pads, cv2.BORDER_CONSTANT, value=AIR_HU)
        target[...] = cv2.resize(cut, (in_plane_px, in_plane_px), interpolation=method)
    return planes


def _in_plane_spacing(square: Box, pixel_spacing_mm: tuple[float, float], in_plane_px: int) -> tuple[float, float]:
    dy, dx = (
        (stop - start) * step / in_plane_px
        for (start, stop), step in zip((square.h, square.w), pixel_spacing_mm, strict=True)
    )
    return dy, dx


def _depth_weights(
    source_mm: NDArray[np.float64], step_mm: float
) -> tuple[NDArray[np.float64], list[list[tuple[int, float]]]]:
    """Return the grid's positions and, for each, the source slices it is made of with their weights.

    Finer than the source or equal: linear interpolation. Coarser: average over the source slices' extents.
    """
    source_step = float(np.median(np.diff(source_mm)))
    if step_mm > source_step * (1 + _SAME_STEP):
        return _average_weights(source_mm, step_mm)
    count = int((source_mm[-1] - source_mm[0]) / step_mm + 0.5) + 1
    position = source_mm[0] + step_mm * np.arange(count)
    return position, [_linear(source_mm, at) for at in position]


def _linear(source_mm: NDArray[np.float64], at: float) -> list[tuple[int, float]]:
    above = int(np.clip(np.searchsorted(source_mm, at), 1, len(source_mm) - 1))
    below_mm, above_mm = source_mm[above - 1], source_mm[above]
    share = float(np.clip((at - below_mm) / (above_mm - below_mm), 0.0, 1.0))
    pairs = ((above - 1, 1.0 - share), (above, share))
    exact = [(i, 1.0) for i, weight in pairs if weight > 1 - _SAME_STEP]
    return exact or list(pairs)


def _average_weights(
    source_mm: NDArray[np.float64], step_mm: float
) -> tuple[NDArray[np.float64], list[list[tuple[int, float]]]]:
    between = (source_mm[1:] + source_mm[:-1]) / 2
    edges = np.concatenate(([2 * source_mm[0] - between[0]], between, [2 * source_mm[-1] - between[-1]]))
    count = max(1, round((edges[-1] - edges[0]) / step_mm))
    start = (edges[0] + edges[-1] - count * step_mm) / 2
    weights = []
    for lower in start + step_mm * np.arange(count):
        overlap = np.clip(np.minimum(edges[1:], lower + step_mm) - np.maximum(edges[:-1], lower), 0.0, None)
        used = np.flatnonzero(overlap)
        weights.append([(int(i), float(overlap[i] / overlap.sum())) for i in used])
    return start + step_mm * (np.arange(count) + 0.5), weights


def _combine(planes: NDArray[np.int16], weights: list[list[tuple[int, float]]]) -> NDArray[np.int16]:
    """Make each grid slice from its source slices; (n, S, S) -> (D, S, S)."""
    if [pairs for pairs in weights if len(pairs) > 1 or pairs[0][1] != 1.0]:
        hu = np.empty((len(weights), *planes.shape[1:]), np.int16)
        for target, pairs in zip(hu, weights, strict=True):
            target[...] = _blend(planes, pairs)
        return hu
    taken = [pairs[0][0] for pairs in weights]
    return planes if taken == list(range(len(planes))) else planes[taken]


def _blend(planes: NDArray[np.int16], pairs: list[tuple[int, float]]) -> NDArray[np.int16]:
    if len(pairs) == 1:
        return np.asarray(planes[pairs[0][0]])
    total = planes[pairs[0][0]] * np.float32(pairs[0][1])
    for i, weight in pairs[1:]:
        total += planes[i] * np.float32(weight)
    blended: NDArray[np.int16] = np.rint(total, out=total).astype(np.int16)
    return blended


def _affine(
    volume: Volume, square: Box, first_mm: float, spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Return (d, h, w, 1) -> LPS mm; a pixel's centre lies half its width inside the square's edge."""
    axes, (dy, dx) = volume.stack.axes, volume.stack.pixel_spacing_mm
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = (
        step * axis for step, axis in zip(spacing_mm, (axes.d, axes.h, axes.w), strict=True)
    )
    h_mm = (square.h[0] - 0.5) * dy + spacing_mm[1] / 2
    w_mm = (square.w[0] - 0.5) * dx + spacing_mm[2] / 2
    affine[:3, 3] = volume.corner_mm + first_mm * axes.d + h_mm * axes.h + w_mm * axes.w
    return affine


def nearest(sorted_mm: NDArray[np.float64], at_mm: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the index of the value in `sorted_mm` nearest to each of `at_mm`; the lower one of two."""
    above = np.clip(np.searchsorted(sorted_mm, at_mm), 1, len(sorted_mm) - 1)
    found: NDArray[np.intp] = above - (at_mm - sorted_mm[above - 1] <= sorted_mm[above] - at_mm)
    return found


def _nearest_grid(source_mm: NDArray[np.float64], box: Box, position_mm: NDArray[np.float64]) -> NDArray[np.int32]:
    found = np.full(len(source_mm), -1, np.int32)
    inside = slice(*box.d)
    if len(position_mm) == 1:
        found[inside] = 0
    else:
        found[inside] = nearest(position_mm, source_mm[inside])
    return found
