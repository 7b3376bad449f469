"""NIfTI-1 and NIfTI-2: nibabel reads the header, which has the axes in RAS; `descrip` and extensions aren't kept."""

from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip
from numpy.typing import NDArray

from pectl.core.volumes.gzipped import inflate, read_plain
from pectl.core.volumes.header import RAS_TO_LPS, Matrix, VolumeHeader, assumed_axes, check_shape

_LONGEST_HEADER = 540  # bytes, of NIfTI-2
_KINDS = (nib.Nifti1Header, nib.Nifti2Header)


def describe(path: Path) -> VolumeHeader:
    """Read the header: sform, else qform, else spacing alone."""
    header = _header(path)
    shape = check_shape(tuple(header.get_data_shape())[::-1], header.get_data_dtype())
    slope, intercept = header.get_slope_inter()
    affine, oriented = _place(header)
    return VolumeHeader(shape, affine, oriented, float(slope or 1.0), float(intercept or 0.0))


def _header(path: Path) -> nib.Nifti1Header:
    """Read a header as it is: nibabel's own checks would set a spacing that is missing to 1 mm."""
    with igzip.open(path) if _is_gzip(path) else path.open("rb") as file:
        block = file.read(_LONGEST_HEADER)
    kind = next(kind for kind in _KINDS if kind.may_contain_header(block))
    return kind(block[: kind.template_dtype.itemsize], check=False)


def _is_gzip(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _place(header: nib.Nifti1Header) -> tuple[Matrix | None, bool]:
    """Return the affine by (k, j, i, 1), and whether the file says where its axes point."""
    for affine, code in (header.get_sform(coded=True), header.get_qform(coded=True)):
        if code and affine is not None:
            return (RAS_TO_LPS @ affine)[:, [2, 1, 0, 3]], True
    spacing = tuple(float(step) for step in header["pixdim"][3:0:-1])
    return (assumed_axes(spacing) if all(step > 0 for step in spacing) else None), False


def load(path: Path) -> NDArray[np.generic]:
    """Read the voxels as stored, (k, j, i)."""
    header = _header(path)
    dtype, shape = header.get_data_dtype(), tuple(header.get_data_shape())[::-1]
    n_bytes, offset = dtype.itemsize * int(np.prod(shape, dtype=np.int64)), int(header.get_data_offset())
    gzipped = _is_gzip(path)
    plain = inflate(path, n_bytes, before=offset) if gzipped else read_plain(path, n_bytes, offset=offset)
    values: NDArray[np.generic] = plain.view(dtype).reshape(shape[-3:])
    return values
