"""NRRD: pynrrd reads the header; its free keys aren't kept."""

from pathlib import Path
from typing import Any

import nrrd
import numpy as np
from numpy.typing import NDArray

from pectl.core.volumes.gzipped import inflate, read_plain
from pectl.core.volumes.header import (
    Matrix,
    VolumeHeader,
    assumed_axes,
    check_shape,
    lies_beside,
    not_scalar,
    refused,
)

_SIGNS = {
    "left-posterior-superior": (1.0, 1.0, 1.0),
    "lps": (1.0, 1.0, 1.0),
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
}
"""What turns a vector of a `space` into LPS."""
_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    "float": "f4",
    "double": "f8",
}
_COLOURS = ("RGB-color", "RGBA-color", "vector", "2-vector", "3-vector", "4-vector", "complex")
_GZIP = ("gzip", "gz")


def describe(path: Path) -> VolumeHeader:
    """Read the header: `space directions`, else `spacings` alone."""
    header = nrrd.read_header(str(path))
    if colours := [kind for kind in header.get("kinds", ()) if kind in _COLOURS]:
        raise not_scalar(colours[0])
    shape = check_shape(_shape(header), _dtype(header))
    return VolumeHeader(shape, *_place(header))


def load(path: Path) -> NDArray[np.generic]:
    """Read the voxels as stored, the axis that changes slowest first."""
    with path.open("rb") as file:
        header = nrrd.read_header(file)
        offset = file.tell()
    if detached := _field(header, "data file"):
        path, offset = _beside(path, str(detached)), 0
    skip = int(_field(header, "byte skip") or 0)
    if _field(header, "line skip") or skip < 0:
        raise refused("undecodable_pixel_data", "voxels that follow the header", "skipped lines", "export it again")
    dtype, shape = _dtype(header), _shape(header)
    n_bytes = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if header["encoding"] in _GZIP:
        plain = inflate(path, n_bytes, offset=offset, before=skip)
    elif header["encoding"] == "raw":
        plain = read_plain(path, n_bytes, offset=offset + skip)
    else:
        found = str(header["encoding"])[:16]
        raise refused("undecodable_pixel_data", "NRRD in raw or gzip encoding", found, "write it as gzip")
    return plain.view(dtype).reshape(shape[-3:])


def _field(header: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - text, number or nothing
    """Return a field whose name is written with or without a space."""
    return header.get(name, header.get(name.replace(" ", "")))


def _shape(header: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(size) for size in header["sizes"])[::-1]


def _dtype(header: dict[str, Any]) -> np.dtype[Any]:
    order = ">" if header.get("endian") == "big" else "<"
    return np.dtype(order + _TYPES[header["type"]])


def _beside(path: Path, name: str) -> Path:
    """Return the data file of a header; one in another folder isn't followed."""
    if not lies_beside(name):
        raise refused("undecodable_pixel_data", "one data file beside its header", "another place", "export it again")
    return path.with_name(name)


def _place(header: dict[str, Any]) -> tuple[Matrix | None, bool]:
    """Return the affine by the array's index, and whether the file says where its axes point."""
    signs = _SIGNS.get(str(header.get("space", "")).lower())
    directions = header.get("space directions")
    if directions is not None and signs is not None:
        affine = np.eye(4)
        affine[:3, :3] = (np.asarray(directions, np.float64)[:3] * signs).T[:, ::-1]
        affine[:3, 3] = np.asarray(header.get("space origin", (0.0, 0.0, 0.0)), np.float64) * signs
        return affine, True
    spacing = header.get("spacings")
    if directions is not None:
        spacing = np.linalg.norm(np.asarray(directions, np.float64)[:3], axis=1)
    if spacing is None or not np.all(np.asarray(spacing[:3]) > 0):
        return None, False
    return assumed_axes(tuple(float(step) for step in spacing[:3][::-1])), False
