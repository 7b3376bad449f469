"""A CT series as one canonical volume of HU."""

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from pectl.core.dicom.headers import SliceHeader
from pectl.core.dicom.pixels import DECODED_IN_THREADS, PixelReader, check_pixel_header
from pectl.core.intake.findings import Finding
from pectl.core.intake.geometry import SAME_POSITION_MM
from pectl.core.intake.hu_scale import hu_scale
from pectl.core.intake.stack import Axes, Stack, build_stack, canonical_axes, largest_geometry, order_slices, refused
from pectl.core.storage.hounsfield import AIR_HU
from pectl.core.storage.threads import map_in_threads, own_cores
from pectl.core.volumes.slices import is_volume, load_planes

_AIR_BELOW_HU = -700
_SOFT_TISSUE_HU = (-150, 250)
_LEAST_SHARE = 0.01
_AIR_AT_MOST_HU = -900  # room air; a lowest value between this and water is where values were cut off
_LEAST_CUT = 0.05  # of the voxels: noise leaves less at any one value
_DENSEST_HU = 3000  # cortical bone reaches 2000; a 12-bit scanner writes 3071 where it can't tell more
_MOST_METAL = 0.02  # of the voxels: a litre around a patient, and no implant fills a third of that
_LARGEST_VOXELS = 1 << 30  # 2 GiB of int16


@dataclass(frozen=True)
class Volume:
    """HU of a series, and where each slice lies.

    `hu` is int16 (D, H, W) from feet to head, front to back, patient's right to left.
    """

    hu: NDArray[np.int16]
    stack: Stack
    findings: tuple[Finding, ...]

    @property
    def corner_mm(self) -> NDArray[np.float64]:
        """Return the LPS point of voxel (h, w) = (0, 0) at position 0 along the normal."""
        middle = len(self.stack.headers) // 2
        corner: NDArray[np.float64] = self.stack.corner_mm[middle] - self.stack.position_mm[middle] * self.stack.axes.d
        return corner


def read_volume(headers: tuple[SliceHeader, ...], *, min_slices: int, max_gap_mm: float) -> Volume:
    """Order the slices of one series and read each into its place.

    Raises:
        StudyRefusedError: the slices don't form a volume, or a slice's pixels can't be used.
    """
    same, findings = largest_geometry(headers)
    distinct, more = _distinct_positions(same)
    if len(distinct) < min_slices:
        raise refused("too_few_slices", f"{min_slices} slices or more", f"{len(distinct)} at different positions")
    of_file = is_volume(distinct[0])
    for header in () if of_file else distinct:
        check_pixel_header(header)
    stack = build_stack(distinct, max_gap_mm=max_gap_mm)
    _check_size(stack)
    hu, n_padded, scaled = _read_file(stack) if of_file else _read_pixels(stack)
    findings += scaled
    _undo_shifts(hu, stack)
    findings += _check_hu(hu)
    if n_padded:
        findings.append(Finding("padding", f"{n_padded} of {len(hu)} slices"))
    return Volume(hu, stack, (*findings, *more, *stack.findings))


def _distinct_positions(headers: tuple[SliceHeader, ...]) -> tuple[tuple[SliceHeader, ...], list[Finding]]:
    """Keep one slice of each position.

    Raises:
        StudyRefusedError: slices at one position differ.
    """
    ordered, position = order_slices(headers, canonical_axes(headers[0].orientation or ()))
    repeats = np.flatnonzero(np.diff(position) < SAME_POSITION_MM)
    if not repeats.size:
        return ordered, []
    for i in repeats:
        _check_identical(ordered[i], ordered[i + 1], float(position[i]))
    dropped = {int(i) + 1 for i in repeats}
    kept = tuple(header for i, header in enumerate(ordered) if i not in dropped)
    return kept, [Finding("duplicate_slices", f"{len(dropped)} of {len(ordered)} slices left out")]


def _check_identical(first: SliceHeader, second: SliceHeader, position_mm: float) -> None:
    for header in (first, second):
        check_pixel_header(header)
    pair = np.empty((2, first.rows, first.columns), np.int16)
    with PixelReader() as reader:
        reader.read(first, pair[0])
        reader.read(second, pair[1])
    if not np.array_equal(pair[0], pair[1]):
        raise refused("conflicting_slices", "one image at each position", f"two different ones at {position_mm:.1f} mm")


def _check_size(stack: Stack) -> None:
    shape = stack.shape
    if np.prod(shape, dtype=np.int64) > _LARGEST_VOXELS:
        raise refused("absurd_size", f"at most {_LARGEST_VOXELS} voxels", f"{shape[0]} x {shape[1]} x {shape[2]}")


def _read_file(stack: Stack) -> tuple[NDArray[np.int16], int, list[Finding]]:
    """Read the slices of a volume file as `_read_pixels` does, with what is found out about its values."""
    first = stack.headers[0]
    planes = load_planes(first)
    scale = hu_scale(planes, (first.slope, first.intercept))
    hu = np.empty(stack.shape, np.int16)
    for header, target in zip(stack.headers, hu, strict=True):
        scale.convert(stack.axes.canonical(planes.values[header.frame]), target)
    return hu, scale.n_padded, scale.findings


def _read_pixels(stack: Stack) -> tuple[NDArray[np.int16], int, list[Finding]]:
    """Read all slices; return them, in how many there was padding, and no finding."""
    hu = np.empty(stack.shape, np.int16)
    threads = own_cores() if stack.headers[0].transfer_syntax in DECODED_IN_THREADS else 1
    with PixelReader() as reader:
        read = partial(_read_slice, reader, stack.axes)
        n_padded = sum(map_in_threads(read, stack.headers, hu, threads=threads))
    return hu, n_padded, []


def _read_slice(reader: PixelReader, axes: Axes, header: SliceHeader, target: NDArray[np.int16]) -> bool:
    """Write a slice's HU into `target` (H, W); return whether there was padding."""
    if not (axes.transpose or axes.flip_h or axes.flip_w):
        return reader.read(header, target)
    stored = np.empty((header.rows, header.columns), np.int16)
    padded = reader.read(header, stored)
    target[...] = axes.canonical(stored)
    return padded


def _check_hu(hu: NDArray[np.int16]) -> list[Finding]:
    """Check on one voxel in 500 that the values are HU: some air or lung, some soft tissue; warn of too much metal.

    Raises:
        StudyRefusedError: there is no air or no soft tissue, or the values were cut off above air.
    """
    sample = hu[::8, ::8, ::8]
    _check_not_cut_off(sample)
    air = float((sample < _AIR_BELOW_HU).mean())
    soft = float(((sample > _SOFT_TISSUE_HU[0]) & (sample < _SOFT_TISSUE_HU[1])).mean())
    if min(air, soft) < _LEAST_SHARE:
        raise refused("not_hu", "air below -700 HU and tissue of -150 to 250 HU", f"{air:.1%} and {soft:.1%} of voxels")
    dense = _dense_share(sample)
    if dense > _MOST_METAL:  # a sample of a small volume may hit metal too often
        dense = _dense_share(hu)
    return (
        [Finding("impossible_hu", f"{dense:.1%} of the voxels above {_DENSEST_HU} HU")] if dense > _MOST_METAL else []
    )


def _check_not_cut_off(sample: NDArray[np.int16]) -> None:
    lowest = int(sample.min())
    share = float((sample == lowest).mean())
    if _AIR_AT_MOST_HU < lowest < 0 and share > _LEAST_CUT:
        raise refused(
            "clipped_hu", "air of about -1000 HU", f"{share:.0%} of the voxels at {lowest} HU, and none below"
        )


def _dense_share(hu: NDArray[np.int16]) -> float:
    return float((hu > _DENSEST_HU).mean())


def _undo_shifts(hu: NDArray[np.int16], stack: Stack) -> None:
    """Shift the slices of a tilted gantry back, so that a column of the array is a line along the normal."""
    if not stack.shift_px.any():
        return
    for target, (shift_h, shift_w) in zip(hu, stack.shift_px, strict=True):
        # cv2's affine maps have columns first: output (w, h) takes its value from (w - shift_w, h - shift_h)
        source = np.array([[1.0, 0.0, -shift_w], [0.0, 1.0, -shift_h]])
        target[...] = cv2.warpAffine(
            target,
            source,
            (target.shape[1], target.shape[0]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=AIR_HU,
        )
