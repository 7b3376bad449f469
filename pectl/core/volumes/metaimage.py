"""MetaImage: SimpleITK reads it, in LPS; it takes a missing spacing for 1 mm, so whether there is one is looked up."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name its manual gives it
from numpy.typing import NDArray

from pectl.core.volumes.header import VolumeHeader, assumed_axes, check_shape, lies_beside, not_scalar, refused

_LONGEST_HEADER = 16384
_ENDS = "ElementDataFile"
"""The last field of a header (MetaImage, ITK)."""


def describe(path: Path) -> VolumeHeader:
    """Read the header: size, spacing, TransformMatrix, Offset."""
    fields, reader = _fields(path), _information(path)
    if reader.GetNumberOfComponents() != 1:
        raise not_scalar("colours or vectors")
    shape = check_shape(tuple(reader.GetSize())[::-1], _dtype(reader.GetPixelID()))
    if not {"ElementSpacing", "ElementSize"} & fields.keys():
        return VolumeHeader(shape, None, oriented=False)
    spacing = reader.GetSpacing()[:3]
    if not {"TransformMatrix", "Orientation", "Rotation"} & fields.keys():
        return VolumeHeader(shape, assumed_axes(spacing[::-1]), oriented=False)
    n = len(reader.GetSize())
    affine = np.eye(4)
    affine[:3, :3] = (np.reshape(reader.GetDirection(), (n, n))[:3, :3] * spacing)[:, ::-1]
    affine[:3, 3] = reader.GetOrigin()[:3]
    return VolumeHeader(shape, affine, oriented=True)


def load(path: Path) -> NDArray[np.generic]:
    """Read the voxels as stored, the axis that changes slowest first."""
    _check_whole(path)
    try:
        values: NDArray[np.generic] = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:  # of all that ITK throws; its text holds the path
        found = "an end before that, or damage"
        raise refused("truncated_pixel_data", "all voxels of the header", found, "fetch it again") from error
    return values.reshape(values.shape[-3:])


def _information(path: Path) -> sitk.ImageFileReader:
    """Read what the header says, without the voxels."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


def _dtype(pixel_id: int) -> np.dtype[np.generic]:
    dtype: np.dtype[np.generic] = sitk.GetArrayViewFromImage(sitk.Image([1, 1, 1], pixel_id)).dtype
    return dtype


def _check_whole(path: Path) -> None:
    """Check that uncompressed voxels are all there; ITK fills up what is missing.

    Raises:
        StudyRefusedError: the file is too short.
    """
    fields, reader = _fields(path), _information(path)
    name = fields[_ENDS]
    data = path if name == "LOCAL" else path.with_name(name)
    n_bytes = _dtype(reader.GetPixelID()).itemsize * int(np.prod(reader.GetSize(), dtype=np.int64))
    if fields.get("CompressedData", "False").lower() != "true" and data.stat().st_size < n_bytes:
        found = str(data.stat().st_size)
        raise refused("truncated_pixel_data", f"{n_bytes} bytes of voxels", found, "fetch or export the file again")


def _fields(path: Path) -> dict[str, str]:
    """Return the fields of a header, text as it is.

    Raises:
        StudyRefusedError: it is none, or its data lie in another folder.
    """
    with path.open("rb") as file:
        lines = file.read(_LONGEST_HEADER).decode("latin-1").split("\n")
    fields: dict[str, str] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not equals:
            break
        fields[key.strip()] = value.strip()
        if key.strip() == _ENDS:
            break
    name = fields.get(_ENDS, "")
    if not name or not lies_beside(name):
        raise refused("damaged_volume", f"{_ENDS} beside its header", "none, or another place", "export it again")
    return fields
