"""From geometry to HU: tissues painted one over the other, each with the share of a voxel that it fills."""

from dataclasses import dataclass

import numpy as np

from pectl.phantom.fields import SmoothField
from pectl.phantom.grid import Array, Points, Slab, mix, soft
from pectl.phantom.study import Study
from pectl.phantom.torso import paint_torso
from pectl.phantom.tubes import paint_tubes

AIR_HU, LUNG_HU, FAT_HU, MUSCLE_HU, HEART_HU = -1000.0, -855.0, -98.0, 55.0, 100.0


@dataclass(frozen=True)
class Fields:
    """The random fields of one study, alike for each of its slabs."""

    coarse: SmoothField
    fine: SmoothField


@dataclass(frozen=True)
class Rendered:
    """One slab: HU before the scanner's blur and noise, and the masks of the truth."""

    hu: Array
    embolus: np.ndarray
    artery: np.ndarray
    lung: np.ndarray


def render(study: Study, slab: Slab, fields: Fields) -> Rendered:
    """Paint one slab of a study, (d, H, W)."""
    x, y, z = slab.x, slab.y, slab.z
    coarse, fine = fields.coarse.on(slab), fields.fine.on(slab)
    width = slab.grid.spacing_mm[1]
    hu = np.full(slab.shape, AIR_HU, dtype=np.float32)
    paint_torso(hu, study.anatomy, slab, coarse)
    lung = soft(study.anatomy.lung_distance(x, y, z) + 1.5 * coarse, width)
    mix(hu, lung, LUNG_HU + 0.35 * (y + 80.0) + 12.0 * fine)
    _paint_heart(hu, study, slab)
    _paint_airways(hu, study, slab)
    _paint_great_vessels(hu, study, slab)
    artery = _share_of(slab, *study.veins.tubes())
    mix(hu, artery, study.contrast.vein)
    artery = _share_of(slab, *study.arteries.tubes())
    mix(hu, artery, study.contrast.artery)
    embolus = _paint_emboli(hu, study, slab)
    return Rendered(hu=hu, embolus=embolus > 0.5, artery=np.maximum(artery, embolus) > 0.5, lung=lung > 0.5)


def _share_of(slab: Slab, starts: Points, ends: Points, radii: Points) -> Array:
    share = np.zeros(slab.shape, dtype=np.float32)
    paint_tubes(share, slab, starts, ends, radii)
    return share


def _paint_line(
    hu: Array, slab: Slab, points: list[tuple[float, float, float]], radii: float | list[float], value: float
) -> None:
    nodes = np.asarray(points, dtype=np.float64)
    share = _share_of(slab, nodes[:-1], nodes[1:], np.broadcast_to(np.asarray(radii, float), len(nodes) - 1))
    mix(hu, share, value)


def _paint_emboli(hu: Array, study: Study, slab: Slab) -> Array:
    total = np.zeros(slab.shape, dtype=np.float32)
    for embolus in study.findings.emboli:
        filled = embolus.fill(slab)
        if filled is not None:
            box, share = filled
            new = np.maximum(share - total[box], 0.0)
            hu[box] += new * (embolus.hu - study.contrast.artery)
            total[box] += new
    return total


def _paint_heart(hu: Array, study: Study, slab: Slab) -> None:
    heart, width = study.anatomy.heart, slab.grid.spacing_mm[1]
    at = (slab.x, slab.y, slab.z)
    blood = study.contrast
    mix(hu, soft(heart.distance(*at), width), HEART_HU)
    for chamber, value in (
        (heart.left_ventricle, blood.aorta),
        (heart.left_atrium, blood.vein),
        (heart.right_ventricle, blood.artery),
        (heart.right_atrium, blood.artery),
    ):
        mix(hu, soft(chamber.distance(*at), width), value)


def _paint_great_vessels(hu: Array, study: Study, slab: Slab) -> None:
    blood = study.contrast
    _paint_line(hu, slab, [(-24, -22, 60), (-25, -20, 0), (-26, -18, -60)], 9.0, blood.svc)
    _paint_line(hu, slab, [(48, -34, 84), (10, -36, 66), (-24, -22, 54)], 6.5, blood.svc)
    aorta = [
        (4, -22, -60), (-6, -28, -35), (-9, -26, -10), (-6, -18, 14), (3, -4, 28), (14, 14, 31), (23, 28, 24),
        (27, 37, 6), (27, 40, -60), (20, 44, -140),
    ]  # fmt: skip
    _paint_line(hu, slab, aorta, [15.0, 15.0, 15.0, 14.5, 14.0, 13.0, 12.5, 12.0, 12.0], blood.aorta)
    for x, y in ((-12, -14), (2, -6), (16, 4)):
        _paint_line(hu, slab, [(x / 2 + 3, y / 2 + 2, 30), (x * 1.4, y - 6, 100)], 4.5, blood.aorta)
    _paint_line(hu, slab, [(6, -64, -76), (13, -54, -62)], 13.0, blood.artery)


def _paint_airways(hu: Array, study: Study, slab: Slab) -> None:
    lines = [
        ([(0, 10, 100), (0, 12, 0)], 8.5),
        ([(0, 12, 0), (-20, 18, -18), (-36, 24, -36), (-44, 26, -54)], 6.0),
        ([(0, 12, 0), (22, 18, -24), (38, 22, -36)], 5.5),
    ]
    for value, extra in ((30.0, 1.8), (AIR_HU + 10.0, 0.0)):
        for points, radius in lines:
            _paint_line(hu, slab, points, radius + extra, value)
