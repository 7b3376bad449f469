"""Ribs, spine, breast bone, collar bones and shoulder blades: marrow inside, dense at the surface."""

import numpy as np

from pectl.phantom.body.anatomy import Anatomy
from pectl.phantom.grid import Array, Slab, cuboid, mix, soft
from pectl.phantom.tubes import paint_tubes

CORTEX_HU, MARROW_HU, CARTILAGE_HU, DISC_HU, CANAL_HU, MUSCLE_HU = 700.0, 190.0, 105.0, 85.0, 25.0, 55.0
_RIB_STEP_MM, _VERTEBRA_STEP_MM = 25.0, 24.0
_CORTEX_MM = 1.6
_BREAST_BONE = cuboid((-30.0, -130.0, -105.0), (30.0, 0.0, 56.0))
_SPINE = cuboid((-35.0, 38.0, -200.0), (35.0, 106.0, 200.0))
"""Corners of cuboids that hold these bones."""


def paint_bones(hu: Array, anatomy: Anatomy, slab: Slab, cage: Array) -> None:
    """Paint all bones of the chest, in place; `cage` is the signed distance to the rib cage's inside."""
    angle = np.arctan2(np.abs(slab.x), slab.y - 4.0)  # 0 at the back, pi at the front
    _paint_ribs(hu, slab, cage, angle)
    _paint_shoulder_blades(hu, slab, cage, angle)
    _paint_breast_bone(hu, slab, cage)
    _paint_spine(hu, slab)
    _paint_collar_bones(hu, anatomy, slab)


def _bone(hu: Array, width: float, distance: Array, *, cortex_hu: float = CORTEX_HU) -> None:
    """Paint bone of which `distance` is the signed distance, in place; `width` is that of a voxel in mm."""
    shell = soft(np.abs(distance + _CORTEX_MM / 2) - _CORTEX_MM / 2, width)
    mix(hu, soft(distance, width), MARROW_HU + shell * (cortex_hu - MARROW_HU))


def _paint_ribs(hu: Array, slab: Slab, cage: Array, angle: Array) -> None:
    width = slab.grid.spacing_mm[1]
    drop = 44.0 * (1.0 - np.cos(np.minimum(angle, 2.35))) - 40.0 * np.maximum(angle - 2.35, 0.0)
    near = np.abs(cage - 6.0) < 4.2 + width
    z, drop, bony = (np.broadcast_to(part, near.shape)[near] for part in (slab.z, drop, angle < 2.35))
    phase = (z + drop) % _RIB_STEP_MM - _RIB_STEP_MM / 2
    rib = np.sqrt((phase / 1.5) ** 2 + (cage[near] - 6.0) ** 2) - 4.2
    values = hu[near]
    _bone(values, width, np.where(bony, rib, np.float32(9.0)))
    cartilage = np.where(bony, np.float32(9.0), rib)  # further to the front
    mix(values, soft(cartilage, width), CARTILAGE_HU)
    hu[near] = values


def _paint_shoulder_blades(hu: Array, slab: Slab, cage: Array, angle: Array) -> None:
    width = slab.grid.spacing_mm[1]
    across = 60.0 * (np.abs(angle[0] - 0.95) - 0.35)
    beside = across < width
    height = np.abs(slab.z[:, :, 0] - 25.0) - 80.0
    plate = np.abs(cage[:, beside] - 23.0 - 10.0 * (angle[0][beside] - 0.9)) - 2.4  # (d, n)
    values = hu[:, beside]
    _bone(values, width, np.maximum(np.maximum(plate, height), across[beside]))
    hu[:, beside] = values


def _paint_breast_bone(hu: Array, slab: Slab, cage: Array) -> None:
    box = slab.box_around(_BREAST_BONE, slab.grid.spacing_mm[1])
    if box is None:
        return
    part, cage = slab.cut(box), cage[box]
    half_width = np.interp(part.z, [-110.0, -95.0, 15.0, 30.0, 48.0, 56.0], [0.0, 14.0, 15.0, 24.0, 26.0, 12.0])
    half_depth = np.float32(5.5)
    ends = np.maximum(np.abs(part.x) - half_width.astype(np.float32) + half_depth, 0.0)  # rounded
    across = np.hypot(ends, cage - 7.0) - half_depth
    bone = np.where((part.y < 0.0) & (part.z > -105.0) & (part.z < 56.0), across, np.float32(9.0))
    _bone(hu[box], part.grid.spacing_mm[1], bone, cortex_hu=450.0)


def _paint_collar_bones(hu: Array, anatomy: Anatomy, slab: Slab) -> None:
    for side in (-1.0, 1.0):
        nodes = np.array([(18.0, -56.0, 52.0), (60.0, -52.0, 70.0), (105.0, -20.0, 86.0), (150.0, -4.0, 92.0)])
        nodes *= (side, anatomy.depth, 1.0)
        for radius, value in ((6.0, CORTEX_HU), (3.8, MARROW_HU)):
            paint_tubes(hu, slab, (nodes[:-1], nodes[1:], np.full(len(nodes) - 1, radius)), value)


def _paint_spine(hu: Array, slab: Slab) -> None:
    box = slab.box_around(_SPINE, slab.grid.spacing_mm[1])
    if box is None:
        return
    hu, slab = hu[box], slab.cut(box)
    x, y = slab.x, slab.y
    width = slab.grid.spacing_mm[1]
    level = np.abs(slab.z % _VERTEBRA_STEP_MM - _VERTEBRA_STEP_MM / 2)  # 0 in mid vertebra, 12 in mid disc
    body = _ellipse(x, y - 54.0, 17.0, 14.0)
    disc = soft(9.5 - level, width)
    _bone(hu, width, body + 0.0 * slab.z, cortex_hu=520.0)
    mix(hu, soft(body, width) * disc, DISC_HU)
    ring = np.abs(_ellipse(x, y - 76.0, 12.0, 9.5)) - 2.2
    joints = _ellipse(np.abs(x) - 13.0, y - 80.0, 5.0, 6.0)
    _bone(hu, width, np.minimum(ring, joints) + np.maximum(level - 8.0, 0.0))
    transverse = np.maximum(np.abs(y - 78.0 - 0.25 * np.abs(x)) - 3.5, np.abs(np.abs(x) - 22.0) - 12.0)
    _bone(hu, width, np.maximum(transverse, level - 4.0))
    process = np.maximum(np.abs(x) - 2.8, np.abs(y - 96.0) - 9.0)
    _bone(hu, width, np.maximum(process, level - 8.0))
    mix(hu, soft(_ellipse(x, y - 76.0, 9.5, 7.0), width), CANAL_HU)


def _ellipse(x: Array, y: Array, width: float, depth: float) -> Array:
    """Signed distance to an ellipse, exact in the direction of its shorter axis."""
    scaled = np.sqrt((x / width) ** 2 + (y / depth) ** 2)
    return ((scaled - 1.0) * min(width, depth)).astype(np.float32)
