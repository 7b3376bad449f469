"""What lies beside the body in the field of view: the table, and arms that could not be raised."""

from dataclasses import dataclass

import numpy as np

from pectl.config import PhantomConfig
from pectl.phantom.body.anatomy import Anatomy
from pectl.phantom.body.bones import CORTEX_HU, MARROW_HU, MUSCLE_HU
from pectl.phantom.grid import Array, Slab, mix, soft

TABLE_HU, PAD_HU = -60.0, -880.0
_ARM_FAT_HU = -102.0
_FLAT_GAP_MM, _DEEP_GAP_MM = 10.0, 1.0
_PAD_MM, _TROUGH_MM = 14.0, 60.0
_SHOULDER_MM = 62.0
"""Body z above which an arm has joined the shoulder."""
_BONE_MM, _CORTEX_MM = 11.0, 3.5


@dataclass(frozen=True, kw_only=True)
class Arms:
    """Both arms beside the chest."""

    radius_mm: float
    gap_mm: float
    """Between an arm and the skin of the chest."""
    y_mm: float


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Those of one study."""

    arms: Arms | None = None
    deep_table: bool = False
    """A trough with a pad that touches back and sides, and so closes in air beside the body."""


def draw_surroundings(rng: np.random.Generator, config: PhantomConfig) -> Surroundings:
    """Draw the surroundings of one study; each kind is there with its probability."""
    down, deep = rng.random(2) < (config.arms_down_probability, config.deep_table_probability)
    arms = Arms(radius_mm=rng.uniform(34.0, 52.0), gap_mm=rng.uniform(-1.0, 12.0), y_mm=rng.uniform(0.0, 45.0))
    return Surroundings(arms=arms if down else None, deep_table=bool(deep))


def paint_surroundings(hu: Array, surroundings: Surroundings, anatomy: Anatomy, slab: Slab) -> None:
    """Paint table and arms over air, in place; the body is painted over them."""
    if surroundings.deep_table:
        _paint_trough(hu, anatomy, slab)
    else:
        _paint_board(hu, slab, _back(anatomy) + _FLAT_GAP_MM - slab.x**2 / 1400.0)
    if surroundings.arms is not None:
        _paint_arms(hu, surroundings.arms, anatomy, slab)


def _back(anatomy: Anatomy) -> float:
    return 106.0 * anatomy.depth + anatomy.fat_mm


def _paint_board(hu: Array, slab: Slab, surface_y: Array) -> None:
    """Paint a shallow curved board whose middle lies at `surface_y` (1, H, W)."""
    board = np.abs(slab.y - surface_y) - 2.0
    mix(hu, soft(board, slab.grid.spacing_mm[1]) + 0.0 * slab.z, TABLE_HU)


def _paint_trough(hu: Array, anatomy: Anatomy, slab: Slab) -> None:
    """Paint a deep board with a pad of foam on it."""
    half_width = 165.0 * anatomy.width
    top = _back(anatomy) + _DEEP_GAP_MM - _TROUGH_MM * np.minimum((slab.x / half_width) ** 4, 2.0)
    foam = np.maximum(top - slab.y, slab.y - top - _PAD_MM)
    mix(hu, soft(foam, slab.grid.spacing_mm[1]) + 0.0 * slab.z, PAD_HU)
    cover = np.abs(slab.y - top) - 1.2
    mix(hu, soft(cover, slab.grid.spacing_mm[1]) + 0.0 * slab.z, TABLE_HU)
    _paint_board(hu, slab, top + _PAD_MM)


def _paint_arms(hu: Array, arms: Arms, anatomy: Anatomy, slab: Slab) -> None:
    """Paint an arm on each side: fat, muscle, and the humerus."""
    width = slab.grid.spacing_mm[1]
    beside = anatomy.half_width(slab.z) + arms.gap_mm + arms.radius_mm
    away = np.hypot(np.abs(slab.x) - beside, slab.y - arms.y_mm) + np.maximum(slab.z - _SHOULDER_MM, 0.0)
    layers = (
        (arms.radius_mm, _ARM_FAT_HU),
        (0.8 * arms.radius_mm, MUSCLE_HU),
        (_BONE_MM, CORTEX_HU),
        (_BONE_MM - _CORTEX_MM, MARROW_HU),
    )
    for radius, value in layers:
        mix(hu, soft(away - radius, width), value)
