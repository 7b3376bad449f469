"""The slices of one series as a stack: same geometry, ordered along the normal, steps and shifts known."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pectl.core.dicom.headers import SliceHeader
from pectl.core.intake.findings import Finding
from pectl.core.intake.geometry import (
    SAME_POSITION_MM,
    STEP_TOLERANCE,
    Vector,
    count_geometries,
    lean_deg,
    median_step,
    same_geometry,
)
from pectl.errors import StudyRefusedError

_GAP_STEPS = 1.5
_MAJORITY = 0.9
_THICK_MM = 3.0
_OBLIQUE_DEG = 5.0
_SHIFT_TOLERANCE_PX = 0.5


Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True)
class Axes:
    """The axes of a stack: LPS unit vectors along D (up), H (back) and W (to the patient's left).

    `transpose`, `flip_h` and `flip_w` turn a stored slice (rows, columns) into (H, W), in this order.
    """

    d: Vector
    h: Vector
    w: Vector
    transpose: bool
    flip_h: bool
    flip_w: bool

    def canonical(self, pixels: NDArray[Value]) -> NDArray[Value]:
        """View a stored slice (rows, columns) as (H, W)."""
        turned = pixels.T if self.transpose else pixels
        return turned[:: -1 if self.flip_h else 1, :: -1 if self.flip_w else 1]


@dataclass(frozen=True)
class Stack:
    """Ordered slices, from feet to head.

    `position_mm` (D,) is along the normal; `corner_mm` (D, 3) is the LPS centre of voxel (0, 0) of each
    canonical slice; `shift_px` (D, 2) is by how much a slice lies off the line through the stack, along H
    and W.
    """

    headers: tuple[SliceHeader, ...]
    axes: Axes
    position_mm: Vector
    corner_mm: NDArray[np.float64]
    shift_px: NDArray[np.float64]
    step_mm: float
    findings: tuple[Finding, ...]

    @property
    def pixel_spacing_mm(self) -> tuple[float, float]:
        """Return the spacing along (H, W)."""
        row, column = self.headers[0].pixel_spacing_mm or (1.0, 1.0)
        return (column, row) if self.axes.transpose else (row, column)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (D, H, W)."""
        rows, columns = self.headers[0].rows, self.headers[0].columns
        return (len(self.headers), *((columns, rows) if self.axes.transpose else (rows, columns)))


def largest_geometry(headers: tuple[SliceHeader, ...]) -> tuple[tuple[SliceHeader, ...], list[Finding]]:
    """Keep the slices of the most common orientation, matrix and spacing.

    Raises:
        StudyRefusedError: no geometry has 90 % of the slices.
    """
    count = count_geometries(headers)
    example, n_same = count[0]
    if n_same == len(headers):
        return headers, []
    if n_same < _MAJORITY * len(headers):
        sizes = sorted(size for _, size in count)
        raise refused("mixed_geometry", "slices of one geometry", f"{len(count)} of {sizes} slices")
    kept = tuple(header for header in headers if same_geometry(example, header))
    return kept, [Finding("minority_geometry", f"{len(headers) - len(kept)} of {len(headers)} slices left out")]


def canonical_axes(orientation: tuple[float, ...]) -> Axes:
    """Turn ImageOrientationPatient into canonical axes by swapping and flipping, without resampling."""
    along_columns, along_rows = (np.asarray(part) / np.linalg.norm(part) for part in np.reshape(orientation, (2, 3)))
    normal = np.cross(along_columns, along_rows)
    normal = normal / np.linalg.norm(normal) * np.copysign(1.0, normal[2])
    transpose = bool(abs(along_columns[0]) < abs(along_columns[1]))
    h, w = (along_columns, along_rows) if transpose else (along_rows, along_columns)
    flip_h, flip_w = bool(h[1] < 0), bool(w[0] < 0)
    return Axes(normal, -h if flip_h else h, -w if flip_w else w, transpose, flip_h, flip_w)


def order_slices(headers: tuple[SliceHeader, ...], axes: Axes) -> tuple[tuple[SliceHeader, ...], Vector]:
    """Order slices along the normal; SOPInstanceUID decides between equal positions."""
    positions = [float(np.dot(header.position or (0, 0, 0), axes.d)) for header in headers]
    order = sorted(range(len(headers)), key=lambda i: (positions[i], headers[i].sop_uid))
    return tuple(headers[i] for i in order), np.array([positions[i] for i in order])


def build_stack(headers: tuple[SliceHeader, ...], *, max_gap_mm: float) -> Stack:
    """Build the stack of slices that lie at different positions.

    Raises:
        StudyRefusedError: a gap above `max_gap_mm`, or slices shifted against each other out of line.
    """
    axes = canonical_axes(headers[0].orientation or ())
    ordered, position = order_slices(headers, axes)
    step = median_step(position)
    corner = _corners(ordered, axes)
    shift_px, shift_findings = _shifts(corner, position, axes, _hw_spacing(ordered[0], axes))
    findings = [
        *_step_findings(position, step, max_gap_mm),
        *_thickness_findings(ordered, step),
        *shift_findings,
    ]
    if (lean := lean_deg(ordered[0])) > _OBLIQUE_DEG:
        findings.append(Finding("oblique", f"{lean:.1f} degrees"))
    return Stack(ordered, axes, position, corner, shift_px, step, tuple(findings))


def _hw_spacing(header: SliceHeader, axes: Axes) -> Vector:
    spacing = np.array(header.pixel_spacing_mm)
    return spacing[::-1] if axes.transpose else spacing


def _corners(headers: tuple[SliceHeader, ...], axes: Axes) -> NDArray[np.float64]:
    """Return the LPS centre of the canonical voxel (0, 0) of each slice."""
    corner = np.array([header.position for header in headers], np.float64)
    sides = (headers[0].columns, headers[0].rows) if axes.transpose else (headers[0].rows, headers[0].columns)
    spacing = _hw_spacing(headers[0], axes)
    if axes.flip_h:
        corner -= (sides[0] - 1) * spacing[0] * axes.h
    if axes.flip_w:
        corner -= (sides[1] - 1) * spacing[1] * axes.w
    return corner


def _step_findings(position: Vector, step: float, max_gap_mm: float) -> list[Finding]:
    steps = np.diff(position)
    gaps = steps > _GAP_STEPS * step
    missing = steps[gaps] - step
    if missing.size and missing.max() > max_gap_mm + SAME_POSITION_MM:
        where = float(position[:-1][gaps][missing.argmax()])
        found = f"{missing.max():.1f} mm missing above position {where:.1f} mm"
        raise refused("large_gap", f"slices without a gap above {max_gap_mm:g} mm", found)
    findings = []
    if missing.size:
        places = ", ".join(
            f"{size:.1f} mm above position {at:.1f} mm"
            for size, at in zip(missing[:5], position[:-1][gaps], strict=False)
        )
        findings.append(Finding("missing_slices", f"{missing.size} gap{'s' if missing.size > 1 else ''}: {places}"))
    if np.any(np.abs(steps[~gaps] - step) > max(STEP_TOLERANCE * step, SAME_POSITION_MM)):
        findings.append(Finding("irregular_step", f"{steps[~gaps].min():.2f} to {steps[~gaps].max():.2f} mm"))
    if step > _THICK_MM + SAME_POSITION_MM:
        findings.append(Finding("thick_slices", f"{step:.2f} mm"))
    return findings


def _thickness_findings(headers: tuple[SliceHeader, ...], step: float) -> list[Finding]:
    thickness = headers[len(headers) // 2].slice_thickness_mm
    if thickness is None or abs(thickness - step) <= max(STEP_TOLERANCE * step, SAME_POSITION_MM):
        return []
    return [Finding("thickness_differs", f"SliceThickness {thickness:g} mm, step {step:.3g} mm")]


def _shifts(
    corner: NDArray[np.float64], position: Vector, axes: Axes, spacing: Vector
) -> tuple[NDArray[np.float64], list[Finding]]:
    """Measure how far slices lie off the normal through the middle slice, in pixels along (H, W).

    Raises:
        StudyRefusedError: they lie off any straight line, or further than a gantry can tilt.
    """
    offset = (corner - corner[len(corner) // 2]) @ np.stack((axes.h, axes.w), axis=1)
    shift_px: NDArray[np.float64] = offset / spacing
    if np.abs(shift_px).max() <= _SHIFT_TOLERANCE_PX:
        return np.zeros_like(shift_px), []
    slope, intercept = np.polyfit(position, offset, 1)
    off_line = np.abs(offset - position[:, None] * slope - intercept).max()
    tilt = float(np.degrees(np.arctan(np.linalg.norm(slope))))
    if off_line > max(1.0, float(spacing.max())) or tilt > 30.0:
        raise refused("shifted_slices", "slices along one line", f"{off_line:.1f} mm off it, at {tilt:.1f} degrees")
    return shift_px, [Finding("gantry_tilt", f"{tilt:.1f} degrees")]


def refused(code: str, expected: str, found: str) -> StudyRefusedError:
    """Make the refusal of a stack."""
    return StudyRefusedError(
        code,
        where="geometry of the series",
        expected=expected,
        found=found,
        fix="export the series again, or leave this study out",
    )
