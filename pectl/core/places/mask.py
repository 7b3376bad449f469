"""The masks and boxes of one study in the order of its slices, however its set gives them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pectl.core.dicom.headers import SliceHeader
from pectl.core.places.boxes import boxes_on
from pectl.core.places.emboli import Numbers, number_parts, number_values
from pectl.core.places.matlab import read_matlab
from pectl.core.places.refusal import refused
from pectl.core.places.source import Kind, PlacesSource
from pectl.core.volumes.formats import describe, load, suffix_of
from pectl.errors import InputMissingError, StudyRefusedError

Values = NDArray[np.generic]
_PLACES_CODE = "places_"
_HALF = 0.5  # of a voxel
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Slices:
    """The slices of the images that are used, and all of which they were chosen.

    Attributes:
        used: n headers, in the order of the volume.
        series: every image of the series that these are of.
    """

    used: Sequence[SliceHeader]
    series: Sequence[SliceHeader]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (n, rows, columns)."""
        return len(self.used), self.used[0].rows, self.used[0].columns


def read_numbers(source: PlacesSource, slices: Slices) -> Numbers:
    """Return the number of the embolus at each pixel of the slices used, (n, rows, columns); 0 where none is.

    Raises:
        StudyRefusedError: code `places_unreadable` or `places_mismatch`: the file is damaged or no mask, or isn't of
            these images.
    """
    try:
        values = _READERS[source.kind](source, slices)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise refused("places_unreadable", "whole numbers", "NaN or infinite values")
        return number_values(values) if source.numbered else number_parts(values > 0)
    except StudyRefusedError as error:
        if error.code.startswith(_PLACES_CODE):
            raise
        raise refused("places_unreadable", error.expected, error.found) from error
    except (OSError, ValueError) as error:
        found = error.strerror if isinstance(error, OSError) else str(error)
        raise refused("places_unreadable", "a file of masks or boxes", str(found)) from error


def _file_order(source: PlacesSource, slices: Slices) -> Values:
    """Slice k of the mask is of the k-th file by name."""
    names = _names(slices.series)
    rows, columns = slices.shape[1:]
    values = read_matlab(source.path, (len(names), rows, columns))
    place = {name: k for k, name in enumerate(names)}
    return values[[place[header.path.name] for header in slices.used]]


def _names(series: Sequence[SliceHeader]) -> list[str]:
    """Return the names of a series' files in the order that any program would put them into."""
    names = sorted(header.path.name for header in series)
    if len(set(names)) < len(names) or any(header.member >= 0 for header in series):
        raise refused("places_mismatch", "a file of its own name for each slice", "an archive, or one name twice")
    if names != sorted(names, key=_by_numbers):
        raise refused("places_mismatch", "file names with leading zeros", "names of which the order isn't certain")
    return names


def _by_numbers(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in _DIGITS.split(name)]


def _slice_index(source: PlacesSource, slices: Slices) -> Values:
    """Slice k of the mask is the k-th along the images' own normal: that is the order in which ITK reads a series."""
    _check_volume(source)
    first = slices.used[0].orientation or ()
    normal = np.cross(first[:3], first[3:])
    along = [float(np.dot(header.position or (), normal)) for header in slices.used]
    _check_shape(describe(source.path).shape, slices.shape)
    rank = np.argsort(np.argsort(along, kind="stable"))
    return np.asarray(load(source.path))[rank]


def _volume(source: PlacesSource, slices: Slices) -> Values:
    """Each voxel of the mask lies, by both headers, where one of the images lies; axes may be swapped or flipped."""
    _check_volume(source)
    found = describe(source.path)
    if found.affine is None:
        raise refused("places_mismatch", "a mask that says where it lies", "no spacing in its header")
    return _turned(found.affine, found.shape, lambda: load(source.path), slices)


def _phantom(source: PlacesSource, slices: Slices) -> Values:
    """The masks of a phantom lie on the grid that its images were made on."""
    from pectl.core.places.truth import read_truth  # pandas and h5py come with it

    try:
        truth = read_truth(source.path)
    except InputMissingError as error:
        raise refused("places_unreadable", error.expected, error.found) from error
    return _turned(truth.affine, truth.embolus.shape, lambda: truth.embolus, slices)


def _turned(
    affine: NDArray[np.float64], shape: tuple[int, ...], values: Callable[[], Values], slices: Slices
) -> Values:
    """Turn the values of a mask, which are read once they are known to fit, into the order of the images."""
    between = np.linalg.inv(affine) @ _affine(slices.used)
    turn = np.rint(between[:3, :3])
    if not (np.abs(turn).sum(axis=0) == 1).all() or not (np.abs(turn).sum(axis=1) == 1).all():
        raise refused("places_mismatch", "voxels of the images' size and axes", "others")
    axes = [int(np.abs(turn[:, axis]).argmax()) for axis in range(3)]  # of the mask, by those of the images
    _check_shape(tuple(shape[axis] for axis in axes), slices.shape)
    flips = tuple(axis for axis in range(3) if turn[axes[axis], axis] < 0)
    _check_corners(between, axes, flips, slices.shape)
    return np.flip(np.transpose(values(), axes), flips)


def _affine(headers: Sequence[SliceHeader]) -> NDArray[np.float64]:
    """Return (4, 4) from (slice, row, column, 1) to LPS mm, of slices that follow each other evenly."""
    first, last = np.array(headers[0].position), np.array(headers[-1].position)
    orientation, spacing = np.array(headers[0].orientation), headers[0].pixel_spacing_mm or (1.0, 1.0)
    affine = np.eye(4)
    affine[:3, 0] = (last - first) / max(1, len(headers) - 1)
    affine[:3, 1], affine[:3, 2] = orientation[3:] * spacing[0], orientation[:3] * spacing[1]
    affine[:3, 3] = first
    return affine


def _check_corners(
    between: NDArray[np.float64], axes: list[int], flips: tuple[int, ...], shape: tuple[int, int, int]
) -> None:
    """Check that all corners of the images lie at corners of the mask."""
    for corner in product(*((0, size - 1) for size in shape)):
        found = between[:3, :3] @ corner + between[:3, 3]
        wanted = [shape[axis] - 1 - at if axis in flips else at for axis, at in enumerate(corner)]
        off = float(np.abs(found[axes] - wanted).max())
        if off > _HALF:
            raise refused("places_mismatch", "a mask at the images' place", f"one that lies {off:.1f} voxels off")


def _boxes(source: PlacesSource, slices: Slices) -> Values:
    """A box is all of its pixels; boxes that touch, on one slice or the next, are of one embolus."""
    return boxes_on(source.path, slices.used)


def _check_volume(source: PlacesSource) -> None:
    if not suffix_of(source.path):
        raise refused("places_unreadable", "a mask as NIfTI, NRRD or MetaImage", "another file")


def _check_shape(found: tuple[int, ...], wanted: tuple[int, int, int]) -> None:
    if found != wanted:
        sizes = [" x ".join(map(str, shape)) for shape in (wanted, found)]
        raise refused("places_mismatch", f"the images' {sizes[0]} slices, rows and columns", sizes[1])


_READERS: dict[Kind, Callable[[PlacesSource, Slices], Any]] = {
    "file-order": _file_order,
    "slice-index": _slice_index,
    "volume": _volume,
    "boxes": _boxes,
    "phantom": _phantom,
}
