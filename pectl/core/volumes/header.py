"""What a volume file says of itself before its voxels are read."""

from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from pectl.errors import StudyRefusedError

Matrix = NDArray[np.float64]
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""NIfTI and some NRRD files count to the right and front, DICOM to the left and back."""
_MOST_VOXELS = 1 << 30  # 2 GiB of int16


@dataclass(frozen=True)
class VolumeHeader:
    """The header of a volume file; free text isn't kept.

    Attributes:
        shape: of the array as it is loaded, the axis that changes slowest first.
        affine: (4, 4) from an index (a, b, c, 1) of that array to LPS mm; None where the file has no spacing.
        oriented: whether the file says where its axes point; if not, `affine` follows `assumed_axes`.
        slope: HU = slope * value + intercept, as far as the file says.
        intercept: see `slope`.
    """

    shape: tuple[int, int, int]
    affine: Matrix | None
    oriented: bool
    slope: float = 1.0
    intercept: float = 0.0


def assumed_axes(spacing_mm: tuple[float, ...]) -> Matrix:
    """Return the affine of an array without orientation: slices upwards, rows to the back, columns to the left.

    Args:
        spacing_mm: of slices, rows and columns.
    """
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spacing_mm, 1.0
    return affine


def check_shape(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> tuple[int, int, int]:
    """Return the three sides of a volume, without axes of length 1 before them.

    Raises:
        StudyRefusedError: another number of axes, no voxel, more than memory can be expected to hold, or voxels that
            aren't one real number each.
    """
    if dtype.kind not in "iuf":
        raise not_scalar("colours or vectors" if dtype.kind == "V" else str(dtype))
    while len(shape) > 3 and shape[0] == 1:
        shape = shape[1:]
    found = " x ".join(map(str, shape))
    if len(shape) != 3:
        raise refused("not_3d", "three axes", f"{len(shape)}: {found}", "export one volume a file")
    if 0 in shape:
        raise refused("empty_volume", "voxels", f"none: {found}", "export the volume again")
    if np.prod(shape, dtype=np.int64) > _MOST_VOXELS:
        raise refused("absurd_size", f"at most {_MOST_VOXELS} voxels", found, "leave this file out")
    return shape[0], shape[1], shape[2]


def lies_beside(name: str) -> bool:
    """Tell whether a header names one data file in its own folder: no list, no pattern, no other place."""
    return len(PurePath(name).parts) == 1 and name not in ("..", "LIST") and "%" not in name


def not_scalar(found: str) -> StudyRefusedError:
    """Make the refusal of voxels that aren't one real number each."""
    return refused("not_scalar", "one real number a voxel", found, "export the CT in Hounsfield units")


def refused(code: str, expected: str, found: str, fix: str) -> StudyRefusedError:
    """Make the refusal of a volume file; which one, the study's id says."""
    return StudyRefusedError(code, where="volume file", expected=expected, found=found, fix=fix)
