"""The box of both lungs: air inside the body on a coarse grid, completed to a symmetric thorax."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pectl.config import PreprocessConfig
from pectl.core.intake.coarse import Coarse, body_mask, coarsen, edge_in_body
from pectl.core.intake.contrast import contrast_findings, vessel_hu
from pectl.core.intake.findings import Finding
from pectl.core.intake.lungmask_model import segment_lungs
from pectl.core.intake.upside_down import check_upright
from pectl.core.intake.volume import Volume
from pectl.core.volumes.slices import is_volume
from pectl.errors import StudyRefusedError

_AERATED_BELOW_HU = -400
_GAS_HU = -960  # bowel gas is purer air than any lung, emphysema included
_OPENING_MM = 10.0  # takes away the trachea and main bronchi, keeps the apices
_SMALLEST_PART_ML = 40.0
_SMALLEST_LUNGS_ML = 300.0
_SMALLEST_BOX_MM = (80.0, 80.0, 150.0)  # D, H, W of the lungs of a small adult
_CUT_OFF_CM2 = 25.0
_BACK_WALL_MM = 40.0  # from the skin of the back to the lungs: ribs, muscle, fat
_MIDLINE_MM = 40.0
_LEAST_HEIGHT_MM = 120.0  # lungs are 180 to 300 mm high; less is not enough to look for emboli


@dataclass(frozen=True)
class Box:
    """Half-open index ranges in a volume: [d0, d1), [h0, h1), [w0, w1)."""

    d: tuple[int, int]
    h: tuple[int, int]
    w: tuple[int, int]


class Lungs(NamedTuple):
    """What is known of the lungs of a volume and of the vessels between them."""

    box: Box
    findings: list[Finding]
    vessel_hu: float
    """Of contrast in the great vessels; NaN where too little of them is shown."""


def find_lungs(volume: Volume, config: PreprocessConfig) -> Lungs:
    """Find the box of both lungs, with a margin on every side, by the configured method.

    Raises:
        StudyRefusedError: no lungs of plausible size, too short a piece of them, or none that differ from air.
        WeightsError: the method is `lungmask`, and the package or its weights aren't there.
    """
    coarse = coarsen(volume)
    body = body_mask(coarse.hu)
    if config.lungs == "lungmask":
        mask = segment_lungs(volume.hu, config.lungmask_weights)
        lungs = np.stack([_shrink_mask(mask[i], coarse.hu.shape[1:]) for i in coarse.slices])
    else:
        lungs = _lungs(coarse.hu, body, coarse.spacing_mm)
    return _box(lungs, body, coarse, volume, margin_mm=config.margin_mm)


def lungs_in(hu: NDArray[np.int16], spacing_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Return the aerated lungs in a box of HU (D, H, W) of about `COARSE_MM`, by the threshold method."""
    return _lungs(hu, body_mask(hu), spacing_mm)


def _shrink_mask(mask: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    small = np.asarray(cv2.resize(mask, (shape[1], shape[0]), interpolation=cv2.INTER_AREA))
    return small > 0


def _box(
    lungs: NDArray[np.bool_], body: NDArray[np.bool_], coarse: Coarse, volume: Volume, *, margin_mm: float
) -> Lungs:
    voxel_ml = float(np.prod(coarse.spacing_mm)) / 1000.0
    if (size_ml := lungs.sum() * voxel_ml) < _SMALLEST_LUNGS_ML:
        _check_not_clipped(coarse, body, voxel_ml)
        raise StudyRefusedError(
            "not_chest",
            where="lungs",
            expected=f"{_SMALLEST_LUNGS_ML:g} ml of aerated lung or more",
            found=f"{size_ml:.0f} ml",
            fix="give the chest series of this study",
        )
    if is_volume(volume.stack.headers[0]):
        check_upright(coarse, body, lungs)
    ranges = _complete(lungs, body, coarse.spacing_mm)
    findings = _cut_off(lungs, coarse)
    extent = [(stop - start) * step for (start, stop), step in zip(ranges, coarse.spacing_mm, strict=True)]
    if any(size < smallest for size, smallest in zip(extent, _SMALLEST_BOX_MM, strict=True)):
        findings.append(Finding("lung_box_fallback", "x".join(f"{size:.0f}" for size in extent) + " mm"))
        ranges = _extent(body)
    bright = vessel_hu(coarse, lungs, width=ranges[2])
    findings += contrast_findings(bright)
    return Lungs(_to_box(ranges, coarse, volume, margin_mm), findings, bright)


def _check_not_clipped(coarse: Coarse, body: NDArray[np.bool_], voxel_ml: float) -> None:
    """Check that the air in the body isn't all of the value that the air around it has; noise makes values differ.

    Raises:
        StudyRefusedError: as much of it as lungs hold is.
    """
    lowest = int(coarse.hu.min())
    around = coarse.hu[~body]
    flat_ml = float((body & (coarse.hu == lowest)).sum() * voxel_ml)
    if flat_ml >= _SMALLEST_LUNGS_ML and around.size and np.median(around) == lowest:
        raise StudyRefusedError(
            "clipped_hu",
            where="lungs",
            expected="lung and air of different HU",
            found=f"{flat_ml:.0f} ml in the body at the {lowest} HU of the air around it",
            fix="export the series again with all its values, not cut to a range or masked",
        )


def _lungs(hu: NDArray[np.int16], body: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.bool_]:
    """Return the air of the lungs: the wide parts of the air in the body, with their thin recesses.

    Opening cuts off the trachea, and bowel gas and small parts go out. It also takes the rim of lung around
    the diaphragm, which reaches centimetres further down, so what is connected grows back, but not upwards
    into the trachea again.
    """
    air = body & (hu < _AERATED_BELOW_HU)
    reach = [max(1, round(_OPENING_MM / 2 / step)) for step in spacing_mm]
    parts, count = ndimage.label(ndimage.binary_opening(air, _ellipsoid(reach)))
    wide = np.isin(parts, _lung_parts(hu, parts, count, float(np.prod(spacing_mm)) / 1000.0))
    if not wide.any():
        return wide
    air[int(np.flatnonzero(wide.any(axis=(1, 2)))[-1]) + 1 :] = False
    lungs: NDArray[np.bool_] = ndimage.binary_propagation(wide, mask=air)
    return lungs


def _lung_parts(hu: NDArray[np.int16], parts: NDArray[np.int32], count: int, voxel_ml: float) -> list[int]:
    """Choose the parts that are lungs: large, not pure gas, beside the largest one, not below or behind."""
    index = np.arange(1, count + 1)
    size_ml = np.bincount(parts.ravel(), minlength=count + 1)[1:] * voxel_ml
    large = index[size_ml >= _SMALLEST_PART_ML]
    lung_like = [int(part) for part in large if np.median(hu[parts == part]) > _GAS_HU]
    if not lung_like:
        return []
    largest = max(lung_like, key=lambda part: size_ml[part - 1])
    (d0, d1), (h0, h1), _ = _extent(parts == largest)
    centres = ndimage.center_of_mass(parts > 0, parts, lung_like)
    return [part for part, (d, h, _) in zip(lung_like, centres, strict=True) if d0 <= d < d1 and h0 <= h < h1]


def _ellipsoid(reach: list[int]) -> NDArray[np.bool_]:
    axes = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    distance = sum((axis / (r + 0.5)) ** 2 for axis, r in zip(axes, reach, strict=True))
    inside: NDArray[np.bool_] = np.asarray(distance) <= 1.0
    return inside


def _extent(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    ranges = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        ranges.append((int(used[0]), int(used[-1]) + 1))
    return ranges


def _complete(
    lungs: NDArray[np.bool_], body: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> list[tuple[int, int]]:
    """Complete a thorax of which parts hold no air, lost to mass, effusion or collapse.

    The lungs are mirrored about the body's midline, and reach to the wall of the back.
    """
    d, (h0, h1), (w0, w1) = _extent(lungs)
    chest = body[d[0] : d[1]]
    columns = chest.sum(axis=(0, 1))
    middle = float(np.average(np.arange(len(columns)) + 0.5, weights=columns))
    half = max(middle - w0, w1 - middle)
    _, _, (body_w0, body_w1) = _extent(chest)
    near = round(_MIDLINE_MM / spacing_mm[2])
    behind = chest[:, (h0 + h1) // 2 :, max(0, round(middle) - near) : round(middle) + near]
    back = (h0 + h1) // 2 + float(np.median(np.logical_and.accumulate(behind, axis=1).sum(axis=1)))
    return [
        d,
        (h0, max(h1, round(back - _BACK_WALL_MM / spacing_mm[1]))),
        (max(body_w0, int(np.floor(middle - half))), min(body_w1, int(np.ceil(middle + half)))),
    ]


def _cut_off(lungs: NDArray[np.bool_], coarse: Coarse) -> list[Finding]:
    """Tell where the scan ends inside the lungs.

    Raises:
        StudyRefusedError: it shows only a short piece of them, as a scan of the neck or the abdomen does.
    """
    dz, dy, dx = coarse.spacing_mm
    area_cm2 = lungs.sum(axis=(1, 2)) * dy * dx / 100.0
    ends = (("lower", area_cm2[0]), ("upper", area_cm2[-1]))
    cut = [f"{area:.0f} cm2 of lung in the {name} slice" for name, area in ends if area > _CUT_OFF_CM2]
    height_mm = float((area_cm2 > 0).sum() * dz)
    if cut and height_mm < _LEAST_HEIGHT_MM:
        raise StudyRefusedError(
            "lungs_incomplete",
            where="lungs",
            expected=f"{_LEAST_HEIGHT_MM:g} mm of lung or more",
            found=f"{height_mm:.0f} mm, {', '.join(cut)}",
            fix="give the chest series of this study",
        )
    if np.mean([edge_in_body(plane) for plane in coarse.hu]) > 0.5:
        cut.append("field of view inside the body")
    return [Finding("lungs_cut_off", ", ".join(cut))] if cut else []


def _to_box(ranges: list[tuple[int, int]], coarse: Coarse, volume: Volume, margin_mm: float) -> Box:
    """Return coarse ranges as source indices, widened by the margin, inside the volume."""
    depth, height, width = volume.hu.shape
    position = volume.stack.position_mm
    half_mm = coarse.spacing_mm[0] / 2
    lowest = position[coarse.slices[ranges[0][0]]] - half_mm - margin_mm
    highest = position[coarse.slices[ranges[0][1] - 1]] + half_mm + margin_mm
    d = int(np.searchsorted(position, lowest)), int(np.searchsorted(position, highest, side="right"))
    h, w = (
        (
            max(0, int(np.floor(start * zoom - margin_mm / spacing))),
            min(size, int(np.ceil(stop * zoom + margin_mm / spacing))),
        )
        for (start, stop), zoom, spacing, size in zip(
            ranges[1:], coarse.zoom, volume.stack.pixel_spacing_mm, (height, width), strict=True
        )
    )
    return Box((max(0, d[0]), min(depth, d[1])), h, w)
