"""The chest wall and what lies under the diaphragm: skin, fat, muscle, bones, table."""

import numpy as np

from pectl.phantom.anatomy import Anatomy
from pectl.phantom.grid import Array, Slab, mix, soft

FAT_HU, MUSCLE_HU = -98.0, 55.0


def paint_torso(hu: Array, anatomy: Anatomy, slab: Slab, rough: Array) -> None:
    """Paint the body without lungs and heart over air, in place."""
    x, y, z = slab.x, slab.y, slab.z
    width = slab.grid.spacing_mm[1]
    cage = anatomy.cage_distance(x, y, z)
    skin = anatomy.body_distance(x, y, z) + 1.5 * rough
    mix(hu, soft(skin, width), FAT_HU + 6.0 * rough)
    muscle = np.maximum(cage - 14.0 + 3.0 * rough, skin + anatomy.fat_mm)
    mix(hu, soft(muscle, width), MUSCLE_HU)
    inside = soft(cage, width)
    mix(hu, inside, FAT_HU)
    below = z - anatomy.diaphragm_height(x, y)
    mix(hu, soft(np.maximum(below, cage), width), 60.0)
    _paint_ribs(hu, anatomy, slab, cage)
    _paint_spine(hu, slab)
    sternum = _ellipse(x, y + anatomy.depth * 84.0 + 8.0, 17.0, 6.0) + 0.0 * z
    mix(hu, soft(sternum, width) * (np.abs(z + 20.0) < 75.0), 260.0)


def _paint_ribs(hu: Array, anatomy: Anatomy, slab: Slab, cage: Array) -> None:
    angle = np.arctan2(np.abs(slab.x), slab.y - 4.0)  # 0 at the back, pi at the front
    drop = 30.0 * (1.0 - np.cos(angle))
    phase = (slab.z + drop) % 25.0 - 12.5
    rib = np.sqrt((phase / 1.7) ** 2 + (cage - 6.5) ** 2) - 4.0
    front = angle > 2.45
    mix(
        hu,
        soft(rib, slab.grid.spacing_mm[1]),
        np.where(front, 110.0, np.where(rib > -1.8, 600.0, 250.0)).astype(np.float32),
    )


def _paint_spine(hu: Array, slab: Slab) -> None:
    x, y = slab.x, slab.y
    width = slab.grid.spacing_mm[1]
    body = _ellipse(x, y - 56.0, 17.0, 15.0)
    disc = (np.abs(slab.z % 24.0 - 12.0) > 10.0).astype(np.float32)
    lamina = np.abs(_ellipse(x, y - 79.0, 13.0, 12.0)) - 3.0
    process = np.maximum(np.abs(x) - 3.0, np.abs(y - 98.0) - 10.0)
    mix(hu, soft(_ellipse(np.abs(x) - 24.0, y - 88.0, 20.0, 14.0), width), MUSCLE_HU)
    mix(hu, soft(np.minimum(lamina, process), width), 480.0)
    mix(hu, soft(body, width), np.where(body > -2.0, 520.0, 210.0) * (1 - disc) + 90.0 * disc)


def _ellipse(x: Array, y: Array, width: float, depth: float) -> Array:
    scaled = np.sqrt((x / width) ** 2 + (y / depth) ** 2)
    return ((scaled - 1.0) * min(width, depth)).astype(np.float32)
