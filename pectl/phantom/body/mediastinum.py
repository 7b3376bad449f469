"""Heart, great vessels, airways and gullet, painted with their contrast."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pectl.phantom import courses
from pectl.phantom.body.airways import WALL_MM, Airways
from pectl.phantom.body.heart import Ellipsoid, Heart
from pectl.phantom.courses import Course
from pectl.phantom.fields import SmoothField
from pectl.phantom.grid import Array, Box, Points, Slab, mix, soft
from pectl.phantom.tubes import paint_tubes

HEART_MUSCLE_HU, WALL_HU, AIRWAY_HU, GULLET_HU, MUCUS_HU = 105.0, 35.0, -990.0, 35.0, 22.0
_TRABECULAE_MM = 1.4
_MARGIN_MM = 3.0
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


def paint_heart(
    hu: Array, ventricle: NDArray[np.bool_], heart: Heart, contrast: Contrast, slab: Slab, field: SmoothField
) -> None:
    """Paint muscle and chambers over a slab (d, H, W), in place; `field` roughens their surface.

    `ventricle` (d, H, W) becomes True inside both ventricles, the papillary muscles in them included.
    """
    box = slab.box_around(heart.corners, _MARGIN_MM + slab.grid.spacing_mm[1])
    if box is not None:
        _paint_heart(hu[box], ventricle[box], heart, contrast, slab.cut(box), field)


def _paint_heart(
    hu: Array, ventricle: NDArray[np.bool_], heart: Heart, contrast: Contrast, slab: Slab, field: SmoothField
) -> None:
    fine = field.on(slab)
    muscle_hu = min(HEART_MUSCLE_HU, contrast.cava)  # it takes up contrast, if there is any
    outline = heart.distance(slab.x, slab.y, slab.z)
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
        painted = _paint_chamber(hu, chamber, value, slab, fine)
        if painted is not None and chamber in (heart.left_ventricle, heart.right_ventricle):
            inside, share = painted
            ventricle[inside] |= share > 0.5
    for start, end in heart.papillary_muscles():
        paint_course(hu, slab, np.stack([start, end]), _PAPILLARY_RADIUS_MM, muscle_hu)


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
    paint_tubes(hu, slab, (airways.starts, airways.ends, radii + wall_mm), WALL_HU)
    for filled, value in ((clear, AIRWAY_HU), (airways.mucus, MUCUS_HU)):
        paint_tubes(hu, slab, (airways.starts[filled], airways.ends[filled], radii[filled]), value)


def paint_course(
    hu: Array, slab: Slab, course: Course | Points, radii_mm: float | tuple[float, ...], value: float
) -> None:
    """Paint a vessel along a course, in place; one radius, or one for each piece."""
    nodes = np.asarray(course, dtype=np.float64)
    radii = np.broadcast_to(np.asarray(radii_mm, dtype=np.float64), len(nodes) - 1)
    paint_tubes(hu, slab, (nodes[:-1], nodes[1:], radii), value)


def _paint_chamber(hu: Array, chamber: Ellipsoid, value: float, slab: Slab, fine: Array) -> tuple[Box, Array] | None:
    """Paint a chamber, and return a box of the slab and the share of each voxel there that the chamber fills."""
    box = slab.box_around(np.array([chamber.centre]), chamber.reach_mm + _MARGIN_MM)
    if box is None:
        return None
    part = slab.cut(box)
    distance = chamber.distance(part.x, part.y, part.z)
    blood = value * (1.0 + _MIXING * fine[box])
    share = soft(distance + _TRABECULAE_MM * fine[box], slab.grid.spacing_mm[1])
    mix(hu[box], share, blood)
    return box, share
