"""A volume file as slices, each with the header that a DICOM slice would have; so the rest of the intake is the same.

In an index a volume file is one header without rows and columns, which holds what the user states of it: the file isn't
opened. `expand` makes of it a header a slice, numbered along the axis of the array that is nearest to the patient's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pectl.core.dicom.headers import SliceHeader
from pectl.core.volumes.formats import describe, load, suffix_of
from pectl.core.volumes.header import Matrix, VolumeHeader, assumed_axes, refused
from pectl.core.volumes.naming import study_id
from pectl.core.volumes.stated import Stated

Remark = tuple[str, str]
"""A code of the intake and what exactly was seen."""
_STEPS_MM = (0.1, 50.0)
_SMALLEST_SIDE, _LARGEST_SIDE = 16, 4096
_MOST_SHEAR = 0.01  # cosine between two axes of a slice: half a degree
_LEAST_VOLUME = 0.8  # of unit axes; a gantry tilted by 30 degrees leaves 0.87


class Planes(NamedTuple):
    """The voxels of a volume file as slices: `values` (n, rows, columns) as stored, and what makes HU of them."""

    values: NDArray[np.generic]
    slope: float
    intercept: float


class Expanded(NamedTuple):
    """The headers of all slices, and what is worth knowing of how they were placed."""

    headers: list[SliceHeader]
    remarks: tuple[Remark, ...] = ()


def is_volume(header: SliceHeader) -> bool:
    """Tell whether a header is of a volume file, or of one of its slices."""
    return header.member < 0 and not header.transfer_syntax and bool(suffix_of(header.path))


def whole_file(path: Path, stated: Stated) -> SliceHeader:
    """Return the header under which an index keeps a volume file."""
    uid = study_id(path)
    z, y, x = stated.spacing_mm or (None, None, None)
    slope, intercept = stated.values or (None, None)
    return SliceHeader(
        path=path,
        transfer_syntax="",
        pixel_offset=0,
        pixel_length=0,
        study_uid=uid,
        series_uid=uid,
        sop_uid=uid,
        patient_id="",
        modality="CT",
        image_type=(),
        position=None,
        orientation=None,
        pixel_spacing_mm=None if y is None or x is None else (y, x),
        slice_thickness_mm=z,
        rows=0,
        columns=0,
        samples=1,
        frames=1,
        bits_allocated=16,
        bits_stored=16,
        signed=True,
        padding=None,
        slope=slope,
        intercept=intercept,
        acquisition="",
        contrast=False,
        kernel="",
        manufacturer="",
    )


def expand(headers: Sequence[SliceHeader]) -> Expanded:
    """Return a header for each slice of a study's volume file; headers of DICOM files as they are.

    Raises:
        StudyRefusedError: several files of one id, or a file that can't be a CT volume.
        OSError: the file can't be read.
    """
    if not any(map(is_volume, headers)):
        return Expanded(list(headers))
    if len(headers) > 1:
        kinds = ", ".join(sorted(suffix_of(header.path) or "DICOM" for header in headers)[:5])
        raise refused("repeated_id", "one file a study", f"{len(headers)} of this id: {kinds}", "rename all but one")
    return _expand(headers[0])


def load_planes(header: SliceHeader) -> Planes:
    """Read the voxels of the volume file that a slice is from.

    Raises:
        StudyRefusedError: they are cut off or damaged.
        OSError: the file can't be read.
    """
    found = describe(header.path)
    affine, _ = _placed(found, header)
    values = np.moveaxis(load(header.path), _slice_axis(affine), 0)
    return Planes(np.ascontiguousarray(values), found.slope, found.intercept)


def _expand(file: SliceHeader) -> Expanded:
    found = describe(file.path)
    affine, remarks = _placed(found, file)
    axis = _slice_axis(affine)
    order = [axis, *(other for other in range(3) if other != axis)]
    count, rows, columns = (found.shape[place] for place in order)
    if max(rows, columns) > _LARGEST_SIDE or min(rows, columns) < _SMALLEST_SIDE:
        sides = f"{rows} x {columns}"
        raise refused("absurd_size", f"{_SMALLEST_SIDE} to {_LARGEST_SIDE} rows and columns", sides, "leave it out")
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    along = affine[:3, :3] / steps
    shared = file._replace(
        orientation=(*along[:, order[2]].tolist(), *along[:, order[1]].tolist()),
        pixel_spacing_mm=(float(steps[order[1]]), float(steps[order[2]])),
        slice_thickness_mm=file.slice_thickness_mm if found.affine is None else None,
        rows=rows,
        columns=columns,
        frames=count,
    )
    positions = affine[:3, 3] + np.outer(np.arange(count), affine[:3, axis])
    headers = [shared._replace(frame=k, position=tuple(at)) for k, at in enumerate(positions.tolist())]
    return Expanded(headers, remarks)


def _placed(found: VolumeHeader, file: SliceHeader) -> tuple[Matrix, tuple[Remark, ...]]:
    """Return the affine of a file's array, with the spacing that the user states where the file has none.

    Raises:
        StudyRefusedError: there is no spacing, or the axes aren't those of a CT volume.
    """
    affine, remarks = found.affine, []
    if affine is None:
        affine = assumed_axes(_stated_mm(file))
        remarks.append(("stated_spacing", " x ".join(f"{step:g}" for step in _stated_mm(file)) + " mm"))
    if not found.oriented:
        remarks.append(("assumed_orientation", "slices from feet to head, rows to the back, columns to the left"))
    _check_axes(affine)
    return affine, tuple(remarks)


def _stated_mm(file: SliceHeader) -> tuple[float, float, float]:
    """Return the spacing that the user states; in a slice's header it is that of the slices."""
    spacing, step = file.pixel_spacing_mm, file.slice_thickness_mm
    if spacing is None or step is None:
        raise refused("no_spacing", "the size of a voxel", "none in the file", "state it with --spacing Z,Y,X in mm")
    return step, spacing[0], spacing[1]


def _check_axes(affine: Matrix) -> None:
    """Check that steps are those of a CT, and that the axes of a slice are at right angles."""
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and (steps >= _STEPS_MM[0]).all() and (steps <= _STEPS_MM[1]).all()):
        sizes = " x ".join(f"{step:.3g}" for step in steps)
        raise refused(
            "absurd_spacing", f"steps of {_STEPS_MM[0]:g} to {_STEPS_MM[1]:g} mm", sizes, "correct the header"
        )
    axis = _slice_axis(affine)
    first, second = (affine[:3, other] / steps[other] for other in range(3) if other != axis)
    if abs(float(first @ second)) > _MOST_SHEAR or abs(np.linalg.det(affine[:3, :3] / steps)) < _LEAST_VOLUME:
        raise refused("sheared_axes", "axes at right angles", "a sheared volume", "resample it, or export it again")


def _slice_axis(affine: Matrix) -> int:
    """Return the axis of the array that is nearest to the patient's long one."""
    return int(np.abs(affine[2, :3] / np.linalg.norm(affine[:3, :3], axis=0)).argmax())
