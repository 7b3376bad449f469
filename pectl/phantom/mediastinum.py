"""Heart, great vessels, airways and gullet, painted with their contrast."""

from dataclasses import dataclass

import numpy as np

from pectl.phantom import courses
from pectl.phantom.airways import WALL_MM, Airways
from pectl.phantom.courses import Course
from pectl.phantom.grid import Array, Points, Slab, mix, soft
from pectl.phantom.heart import Ellipsoid, Heart
from pectl.phantom.tubes import box_around, tubes_share

HEART_MUSCLE_HU, WALL_HU, AIRWAY_HU, GULLET_HU, MUCUS_HU = 105.0, 35.0, -990.0, 35.0, 22.0
_TRABECULAE_MM = 1.4
_MIXING = 0.04
"""Deviation of the contrast within a chamber, as a share of it."""
_PAPILLARY_RADIUS_MM = 4.0


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """HU of blood by place; the injection's timing decides how bright the left side of the heart is."""

    artery: float
    vein: float
    """Pulmonary veins and left atrium."""
    aorta: float
    """And left ventricle."""
    cava: float
    """Superior vena cava: undiluted contrast."""
    inferior_cava: float


def paint_heart(hu: Array, heart: Heart, contrast: Contrast, slab: Slab, fine: Array) -> None:
    """Paint muscle and chambers, in place; `fine` is a random field (d, H, W)."""
    outline = heart.distance(slab.x, slab.y, slab.z)
    muscle_hu = min(HEART_MUSCLE_HU, contrast.cava)  # it takes up contrast, if there is any
    mix(hu, soft(outline, slab.grid.spacing_mm[1]), muscle_hu)
    chambers = (
        (heart.left_atrium, contrast.vein),
        (heart.left_appendage, contrast.vein),
        (heart.left_ventricle, contrast.aorta),
        (heart.right_ventricle, contrast.artery),
        (heart.right_appendage, contrast.artery),
        (heart.right_atrium, 0.8 * contrast.artery + 0.2 * contrast.inferior_cava),
    )
    for chamber, value in chambers:
        _paint_chamber(hu, chamber, value, slab, fine)
    for start, end in heart.papillary_muscles():
        share = tubes_share(slab, start[None], end[None], np.array([_PAPILLARY_RADIUS_MM]))
        mix(hu, share, muscle_hu)


def paint_great_vessels(hu: Array, contrast: Contrast, slab: Slab) -> None:
    """Paint aorta, caval veins, outflow tract and gullet, in place."""
    paint_course(hu, slab, courses.OESOPHAGUS, 6.0, GULLET_HU)
    paint_course(hu, slab, courses.AZYGOS, 3.5, contrast.inferior_cava)
    paint_course(hu, slab, courses.INFERIOR_CAVA, 11.0, contrast.inferior_cava)
    paint_course(hu, slab, courses.SUPERIOR_CAVA, 8.5, contrast.cava)
    paint_course(hu, slab, courses.INNOMINATE_VEIN, 6.0, contrast.cava)
    paint_course(hu, slab, courses.RIGHT_INNOMINATE_VEIN, 6.5, (contrast.cava + contrast.inferior_cava) / 2)
    paint_course(hu, slab, courses.AORTA, courses.AORTA_RADII_MM, contrast.aorta)
    for course, radius in zip(courses.ARCH_BRANCHES, (6.0, 4.0, 5.0), strict=True):
        paint_course(hu, slab, course, radius, contrast.aorta)
    paint_course(hu, slab, courses.OUTFLOW_TRACT, 13.0, contrast.artery)


def paint_airways(hu: Array, airways: Airways, slab: Slab) -> None:
    """Paint the walls of all airways, then the air, or the mucus, inside."""
    radii, clear = airways.radii_mm, ~airways.mucus
    wall_mm = np.minimum(WALL_MM, 0.5 * radii)
    mix(hu, tubes_share(slab, airways.starts, airways.ends, radii + wall_mm), WALL_HU)
    mix(hu, tubes_share(slab, airways.starts[clear], airways.ends[clear], radii[clear]), AIRWAY_HU)
    if airways.mucus.any():
        full = airways.mucus
        mix(hu, tubes_share(slab, airways.starts[full], airways.ends[full], radii[full]), MUCUS_HU)


def paint_course(
    hu: Array, slab: Slab, course: Course | Points, radii_mm: float | tuple[float, ...], value: float
) -> None:
    """Paint a vessel along a course, in place; one radius, or one for each piece."""
    nodes = np.asarray(course, dtype=np.float64)
    radii = np.broadcast_to(np.asarray(radii_mm, dtype=np.float64), len(nodes) - 1)
    mix(hu, tubes_share(slab, nodes[:-1], nodes[1:], radii), value)


def _paint_chamber(hu: Array, chamber: Ellipsoid, value: float, slab: Slab, fine: Array) -> None:
    nodes = slab.grid.to_index(np.array([chamber.centre])) - [slab.start, 0, 0]
    box = box_around(nodes, chamber.reach_mm + 3.0, slab)
    if box is None:
        return
    plane = (slice(None), *box[1:])
    distance = chamber.distance(slab.x[plane], slab.y[plane], slab.z[box[0]])
    view = hu[box]
    blood = value * (1.0 + _MIXING * fine[box])
    mix(view, soft(distance + _TRABECULAE_MM * fine[box], slab.grid.spacing_mm[1]), blood)
