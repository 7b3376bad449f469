"""The body without lungs, heart and vessels: skin, fat, muscle, organs under the diaphragm."""

from dataclasses import dataclass

import numpy as np

from pectl.phantom.body.anatomy import WALL_MM, Anatomy
from pectl.phantom.body.bones import paint_bones
from pectl.phantom.grid import Array, Slab, mix, soft

FAT_HU, MUSCLE_HU, SKIN_HU, LIVER_HU, SPLEEN_HU, STOMACH_HU, FLUID_HU = (
    -102.0,
    58.0,
    20.0,
    85.0,
    95.0,
    25.0,
    12.0,
)
GAS_HU = -980.0
_SKIN_MM, _FAT_PLANE_MM = 2.0, 2.0

_ANGLES = np.array([0.0, 0.35, 0.6, 1.0, 1.5, 1.9, 2.3, 2.8, 3.15])
_MUSCLE_LOW_MM = np.array([16.0, 22.0, 12.0, 12.0, 12.0, 7.0, 5.0, 4.0, 2.0])
_MUSCLE_HIGH_MM = np.array([16.0, 22.0, 26.0, 30.0, 24.0, 14.0, 20.0, 16.0, 2.0])
"""Muscle outside the ribs by angle from the back, at the height of the diaphragm and of the arm pits."""


def paint_torso(hu: Array, anatomy: Anatomy, slab: Slab, cage: Array, fields: tuple[Array, Array]) -> None:
    """Paint the body over what lies around it, in place.

    Args:
        hu: (d, H, W), what lies around it painted.
        anatomy: of the subject.
        slab: of the grid.
        cage: signed distance to the inside of the rib cage.
        fields: a rough and a fine random field.
    """
    rough, fine = fields
    width = slab.grid.spacing_mm[1]
    skin = anatomy.skin_distance(slab) + 1.5 * rough
    wall = (skin < width) & (cage > -width)
    values = hu[wall]
    _paint_wall(values, anatomy, _Wall.of(slab, wall, skin, cage, rough, fine))
    hu[wall] = values
    box = slab.box_around(anatomy.cage_corners(slab.z), width)
    if box is not None:
        _paint_inside(hu[box], anatomy, slab.cut(box), cage[box], (rough[box], fine[box]))
    paint_bones(hu, anatomy, slab, cage)


@dataclass(frozen=True)
class _Wall:
    """The voxels (n,) of the chest's wall."""

    skin: Array
    cage: Array
    """Signed distances to skin and cage."""
    rough: Array
    fine: Array
    z: Array
    angle: Array
    """0 at the back, pi at the front."""
    width_mm: float

    @classmethod
    def of(cls, slab: Slab, where: np.ndarray, skin: Array, cage: Array, rough: Array, fine: Array) -> "_Wall":
        angle = np.arctan2(np.abs(slab.x), slab.y - 4.0)
        z, angle = (np.broadcast_to(values, slab.shape)[where] for values in (slab.z, angle))
        return cls(skin[where], cage[where], rough[where], fine[where], z, angle, slab.grid.spacing_mm[1])


def _paint_wall(hu: Array, anatomy: Anatomy, wall: _Wall) -> None:
    """Paint skin, fat and muscle, in place."""
    mix(hu, soft(wall.skin, wall.width_mm), SKIN_HU)
    mix(hu, soft(wall.skin + _SKIN_MM, wall.width_mm), FAT_HU + 5.0 * wall.rough + 5.0 * wall.fine)
    high = np.clip((wall.z + 70.0) / 90.0, 0.0, 1.0)
    low, top = (np.interp(wall.angle, _ANGLES, t).astype(np.float32) for t in (_MUSCLE_LOW_MM, _MUSCLE_HIGH_MM))
    outer = WALL_MM + low + high * (top - low) + 3.0 * wall.rough
    outer += np.maximum(wall.z - 45.0, 0.0) * np.float32(1.1) * (wall.angle < 2.2)  # shoulders
    muscle = np.maximum(wall.cage - outer, wall.skin + anatomy.fat_mm)
    value = MUSCLE_HU + 6.0 * wall.rough
    beyond = wall.cage - WALL_MM
    planes = np.minimum(np.abs(beyond), np.abs(beyond - 0.5 * (outer - WALL_MM) - 3.0 * wall.rough))
    value -= 110.0 * soft(planes - _FAT_PLANE_MM / 2, 2.0 * wall.width_mm) * np.clip(1.0 + wall.rough, 0.0, 1.0)
    mix(hu, soft(muscle, wall.width_mm), value)


def _paint_inside(hu: Array, anatomy: Anatomy, slab: Slab, cage: Array, fields: tuple[Array, Array]) -> None:
    """Paint what lies in the cage beside lungs and vessels, in place."""
    rough, fine = fields
    width = slab.grid.spacing_mm[1]
    strands = FAT_HU + 8.0 * rough + 30.0 * np.maximum(fine, 0.0)
    mix(hu, soft(cage, width), strands)  # fat of the mediastinum
    if any(anatomy.effusion_mm):
        fluid = np.maximum(cage, anatomy.fluid_distance(slab.x, slab.y, slab.z))
        mix(hu, soft(fluid, width), FLUID_HU)
    _paint_abdomen(hu, anatomy, slab, cage)


def _paint_abdomen(hu: Array, anatomy: Anatomy, slab: Slab, cage: Array) -> None:
    highest = max(anatomy.dome_right_mm, anatomy.dome_left_mm) + slab.grid.spacing_mm[1]
    _, height, breadth = slab.shape
    low = slice(0, int(np.searchsorted(slab.z[:, 0, 0], highest))), slice(0, height), slice(0, breadth)
    hu, cage, slab = hu[low], cage[low], slab.cut(low)
    x, y, z = slab.x, slab.y, slab.z
    width = slab.grid.spacing_mm[1]
    under = np.maximum(z - anatomy.diaphragm_height(x, y), cage)
    inside = soft(under + 2.5, width)
    mix(hu, soft(under, width), MUSCLE_HU)
    spleen = np.sqrt((x - 88.0) ** 2 + (y - 38.0) ** 2) - 38.0
    stomach = np.sqrt((x - 62.0) ** 2 + ((y + 28.0) / 1.3) ** 2) - 34.0
    mix(hu, inside, FAT_HU)
    mix(hu, inside * soft(x - 18.0, 12.0), LIVER_HU)
    mix(hu, inside * soft(spleen, width), SPLEEN_HU)
    mix(hu, inside * soft(stomach, width), STOMACH_HU)
    mix(hu, inside * soft(np.maximum(stomach + 4.0, y + 34.0), width), GAS_HU)  # gas floats to the front
