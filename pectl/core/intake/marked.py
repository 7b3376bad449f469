"""What a set marks on the images of one study: as labels, and on the grid of the store."""

from __future__ import annotations  # h5py is imported by who writes a store

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pectl.core.dicom.headers import SliceHeader
from pectl.core.intake.findings import Finding
from pectl.core.intake.lungs import Box
from pectl.core.intake.resample import nearest
from pectl.core.intake.stack import Stack
from pectl.core.intake.volume import Volume
from pectl.core.labels.names import UNKNOWN
from pectl.core.places.boxes import boxes_elsewhere
from pectl.core.places.emboli import EmbolusSizes, Numbers, measure_emboli
from pectl.core.places.kept import KeptPlaces
from pectl.core.places.labels import exam_labels, image_labels
from pectl.core.places.mask import Slices, read_numbers
from pectl.core.places.refusal import refused
from pectl.core.places.source import PlacesSource
from pectl.errors import StudyRefusedError

if TYPE_CHECKING:
    from pectl.core.stores.study_store import Study

_AIR_HU = -500  # half air: an embolus fills a vessel, and even its rim holds more
_MOST_AIR = 0.5  # of what is marked


@dataclass(frozen=True)
class Marked:
    """The emboli that a set marks on a study.

    Attributes:
        numbers: (D, H, W) of the volume, the number of the embolus at each voxel; 0 where none is.
        sizes: of each.
        in_box: (n,) whether some of it lies in the lung box.
        image: PE on the image (0, 1) by SOPInstanceUID, where it is known.
        exam: 0, 1 or None by label.
        boxes: whether they are boxes around emboli.
    """

    numbers: Numbers
    sizes: EmbolusSizes
    in_box: NDArray[np.bool_]
    image: dict[str, int]
    exam: dict[str, int | None]
    boxes: bool


def read_marked(
    source: PlacesSource, volume: Volume, box: Box, images: Sequence[SliceHeader], *, min_area_mm2: float
) -> tuple[Marked | None, list[Finding]]:
    """Read what a set marks on a study, and say what is wrong with it; None where it can't be used.

    Args:
        source: masks or boxes of the study.
        volume: the images that are used.
        box: of the lungs.
        images: every image of the study.
        min_area_mm2: see `places.min_area_mm2`.
    """
    used = volume.stack.headers
    series = {header.series_uid for header in used}
    slices = Slices(used, [header for header in images if header.series_uid in series])
    try:
        stored = read_numbers(source, slices)
        numbers = _as_volume(stored, volume.stack)
        if source.kind != "boxes":
            _check_not_air(volume.hu, numbers)
        elsewhere = boxes_elsewhere(source.path, used) if source.kind == "boxes" else 0
    except StudyRefusedError as error:
        return None, [Finding(error.code, str(error))]
    labels = np.full(len(used), UNKNOWN, np.int8)
    if source.labels:
        labels = image_labels(stored, pixel_mm2=_pixel_mm2(volume), min_area_mm2=min_area_mm2, complete=source.complete)
    marked = Marked(
        numbers=numbers,
        sizes=measure_emboli(numbers, (volume.stack.step_mm, *volume.stack.pixel_spacing_mm)),
        in_box=_in_box(numbers, box),
        image={header.image_uid: int(label) for header, label in zip(used, labels, strict=True) if label != UNKNOWN},
        exam=exam_labels(labels),
        boxes=source.kind == "boxes",
    )
    return marked, _findings(marked, elsewhere, min_area_mm2 if source.labels else 0.0)


def _as_volume(stored: Numbers, stack: Stack) -> Numbers:
    """(n, rows, columns) -> (D, H, W), the slices of a tilted gantry shifted as the volume's are."""
    numbers = np.stack([stack.axes.canonical(plane) for plane in stored])
    for plane, (shift_h, shift_w) in zip(numbers, np.rint(stack.shift_px).astype(int), strict=True):
        plane[...] = _shifted(plane, int(shift_h), int(shift_w))
    return numbers


def _shifted(plane: Numbers, down: int, right: int) -> Numbers:
    """Move a slice without what leaves it at one edge coming in at the other."""
    moved = np.zeros_like(plane)
    height, width = plane.shape
    moved[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)] = plane[
        max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)
    ]
    return moved


def _check_not_air(hu: NDArray[np.int16], numbers: Numbers) -> None:
    inside = hu[numbers > 0]
    share = float((inside < _AIR_HU).mean()) if inside.size else 0.0
    if share > _MOST_AIR:
        raise refused("places_in_air", "emboli in vessels", f"{share:.0%} of what is marked below {_AIR_HU} HU")


def _pixel_mm2(volume: Volume) -> float:
    height_mm, width_mm = volume.stack.pixel_spacing_mm
    return height_mm * width_mm


def _in_box(numbers: Numbers, box: Box) -> NDArray[np.bool_]:
    inside = np.unique(numbers[slice(*box.d), slice(*box.h), slice(*box.w)])
    return np.isin(np.arange(1, int(numbers.max()) + 1), inside)


def _findings(marked: Marked, elsewhere: int, min_area_mm2: float) -> list[Finding]:
    found = []
    if elsewhere:
        found.append(Finding("places_without_images", f"{elsewhere} boxes"))
    if min_area_mm2 and marked.in_box.size and 1 not in marked.image.values():
        found.append(Finding("places_faint", f"{marked.in_box.size} emboli, less than {min_area_mm2:g} mm2 a slice"))
    if outside := int((~marked.in_box).sum()):
        found.append(Finding("places_outside_box", f"{outside} of {marked.in_box.size} emboli"))
    return found


def on_store_grid(marked: Marked, volume: Volume, study: Study) -> KeptPlaces:
    """Look up what is marked at the centres of a study's voxels; an embolus too small to be met keeps one voxel."""
    depth, height, width = study.hu.shape
    inside = np.flatnonzero(study.source.grid_index >= 0)
    planes = inside[nearest(volume.stack.position_mm[inside], study.slice_position_mm)]
    rows, columns = _along(study, volume, 1, height), _along(study, volume, 2, width)
    number = np.zeros((depth, height, width), np.uint16)
    h, w = (
        np.flatnonzero((at >= 0) & (at < size)) for at, size in zip((rows, columns), volume.hu.shape[1:], strict=True)
    )
    number[:, h[:, None], w] = marked.numbers[planes[:, None, None], rows[h][:, None], columns[w]]
    for lost in np.setdiff1d(np.flatnonzero(marked.in_box) + 1, number):
        number[_nearest_voxel(marked.numbers, int(lost), study, rows, columns)] = lost
    return KeptPlaces(
        number=number,
        affine=study.affine,
        spacing_mm=study.spacing_mm,
        sizes=marked.sizes,
        in_box=marked.in_box,
        boxes=marked.boxes,
    )


def _along(study: Study, volume: Volume, axis: int, size: int) -> NDArray[np.intp]:
    """Return the volume's index of each of the grid's along H (axis 1) or W (axis 2)."""
    direction = (volume.stack.axes.h, volume.stack.axes.w)[axis - 1]
    step_mm = volume.stack.pixel_spacing_mm[axis - 1]
    first_mm = float((study.affine[:3, 3] - volume.corner_mm) @ direction)
    found: NDArray[np.intp] = np.rint((first_mm + study.spacing_mm[axis] * np.arange(size)) / step_mm).astype(np.intp)
    return found


def _nearest_voxel(
    numbers: Numbers, number: int, study: Study, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> tuple[int, int, int]:
    """Return the grid's voxel nearest to the middle one of an embolus."""
    places = np.argwhere(numbers == number)
    places = places[study.source.grid_index[places[:, 0]] >= 0]
    d, h, w = places[len(places) // 2]
    return (
        int(study.source.grid_index[d]),
        int(np.abs(rows - h).argmin()),
        int(np.abs(columns - w).argmin()),
    )
