"""The measures of one subject, and the closed shapes (body, cage, lungs, heart) as signed distances in mm.

Shapes take body-frame coordinates that broadcast together, so they serve a slab of voxels and a list of points.
Landmarks and sizes follow textbook adult anatomy at the level of the carina (z = 0) and around it.
"""

from dataclasses import dataclass

import numpy as np

from pectl.phantom.grid import Array, Points

TOP_MM, BOTTOM_MM = 98.0, -128.0
"""Body z of the first and last slice of a scan: lung apex to below the domes of the diaphragm."""

_Z = np.array([-150.0, -80.0, -20.0, 30.0, 60.0, 80.0, 95.0, 110.0])
_CAGE_WIDTH = np.array([134.0, 132.0, 126.0, 112.0, 92.0, 68.0, 42.0, 10.0])
_CAGE_DEPTH = np.array([90.0, 88.0, 84.0, 72.0, 58.0, 46.0, 32.0, 8.0])
_CAGE_CENTRE = np.array([-2.0, -2.0, 0.0, 4.0, 8.0, 12.0, 15.0, 18.0])
_BODY_WIDTH = np.array([148.0, 150.0, 152.0, 156.0, 162.0, 166.0, 166.0, 160.0])
_BODY_DEPTH = np.array([106.0, 106.0, 104.0, 98.0, 92.0, 86.0, 78.0, 68.0])
_COLUMN_WIDTH = np.array([30.0, 30.0, 30.0, 33.0, 35.0, 37.0, 38.0, 38.0])

_LONG_AXIS = np.array([0.74, -0.67, 0.0])
"""Axial direction from the base of the heart to its apex: to the left and to the front."""
_TO_RIGHT_VENTRICLE = np.array([-0.67, -0.74, 0.0])
_SEPTUM_CENTRE = np.array([24.0, -34.0, -88.0])
_SEPTUM_MM = 10.0
PERICARDIUM_MM = 4.0


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid whose long axis lies in the axial plane at `turn_rad` from +x."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    """Along the long axis, across it in the axial plane, and along z."""
    turn_rad: float = 0.0

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance in mm (exact on the surface, radial elsewhere)."""
        px, py, pz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        cosine, sine = np.float32(np.cos(self.turn_rad)), np.float32(np.sin(self.turn_rad))
        along, across = px * cosine + py * sine, py * cosine - px * sine
        scaled = np.sqrt(
            (along / self.radii[0]) ** 2 + (across / self.radii[1]) ** 2 + (pz / self.radii[2]) ** 2
        )
        length = np.sqrt(along**2 + across**2 + pz**2)
        return (scaled - 1.0) * length / np.maximum(scaled, 1e-3)


@dataclass(frozen=True, kw_only=True)
class Heart:
    """The four chambers; RV/LV is the ratio of the axial diameters across the septum."""

    left_ventricle: Ellipsoid
    right_ventricle: Ellipsoid
    right_atrium: Ellipsoid
    left_atrium: Ellipsoid
    outline: Ellipsoid

    @property
    def rv_diameter_mm(self) -> float:
        """Inner axial diameter of the right ventricle across the septum."""
        return 2.0 * self.right_ventricle.radii[1]

    @property
    def lv_diameter_mm(self) -> float:
        """Inner axial diameter of the left ventricle across the septum."""
        return 2.0 * self.left_ventricle.radii[1]

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance to the muscle's outside."""
        left = self.left_ventricle.distance(x, y, z) - 10.0
        right = self.right_ventricle.distance(x, y, z) - 4.0
        atria = np.minimum(self.right_atrium.distance(x, y, z), self.left_atrium.distance(x, y, z)) - 3.0
        return np.minimum(np.minimum(left, right), np.minimum(atria, self.outline.distance(x, y, z)))


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """The measures of one subject."""

    width: float
    depth: float
    """Factors on the cage's tables."""
    fat_mm: float
    female: bool
    dome_right_mm: float
    dome_left_mm: float
    """Body z of the tops of the diaphragm."""
    trunk_radius_mm: float
    heart: Heart
    jitter: Points
    """(3,) mm: shift of the vessels' landmarks."""

    @classmethod
    def draw(cls, rng: np.random.Generator, *, rv_lv_ratio: float) -> "Anatomy":
        """Draw a subject whose ventricles have the given ratio of axial diameters."""
        lv_radius = rng.uniform(18.5, 22.5) / max(1.0, rv_lv_ratio) ** 0.4
        return cls(
            width=rng.uniform(0.94, 1.06),
            depth=rng.uniform(0.94, 1.06),
            fat_mm=rng.uniform(6.0, 22.0),
            female=bool(rng.random() < 0.5),
            dome_right_mm=rng.uniform(-108.0, -92.0),
            dome_left_mm=rng.uniform(-116.0, -102.0),
            trunk_radius_mm=rng.uniform(12.5, 14.5),
            heart=_heart(lv_radius, lv_radius * rv_lv_ratio),
            jitter=rng.normal(0.0, 1.5, 3),
        )

    def cage_distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance to the inside of the rib cage."""
        width, depth = _at(z, _CAGE_WIDTH) * self.width, _at(z, _CAGE_DEPTH) * self.depth
        return _superellipse(x, y - _at(z, _CAGE_CENTRE), width, depth)

    def body_distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance to the skin."""
        width = _at(z, _BODY_WIDTH) * self.width + self.fat_mm - 6.0
        depth = _at(z, _BODY_DEPTH) * self.depth + self.fat_mm - 6.0
        skin = _superellipse(x, y - 4.0, width, depth)
        if not self.female:
            return skin
        breast = Ellipsoid((72.0, -100.0, -40.0), (58.0, 22.0 + self.fat_mm, 58.0))
        return np.minimum(skin, breast.distance(np.abs(x), y, z))

    def mediastinum_distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance to what lies between the lungs."""
        column = _superellipse(x - 1.0, y - 8.0, _at(z, _COLUMN_WIDTH), np.float32(48.0))
        spine = _superellipse(x, y - 62.0, np.float32(26.0), np.float32(32.0))
        front = _superellipse(x - 4.0, y + 62.0, np.float32(13.0), np.float32(44.0))
        heart = self.heart.distance(x, y, z) - PERICARDIUM_MM
        return np.minimum(np.minimum(column, spine), np.minimum(front, heart))

    def diaphragm_height(self, x: Array, y: Array) -> Array:
        """Body z of the diaphragm's surface at (x, y)."""
        right = self.dome_right_mm - ((x + 62.0) ** 2 / 170.0 + (y + 8.0) ** 2 / 150.0)
        left = self.dome_left_mm - ((x - 66.0) ** 2 / 170.0 + (y + 2.0) ** 2 / 150.0)
        return np.where(x < 0.0, right, left)

    def lung_distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance to the two lungs."""
        above = (self.diaphragm_height(x, y) - z) * np.float32(0.7)  # about normal to the dome's slope
        inside = np.maximum(self.cage_distance(x, y, z), above)
        return np.maximum(inside, -self.mediastinum_distance(x, y, z))


def _heart(lv_radius: float, rv_radius: float) -> Heart:
    turn = float(np.arctan2(_LONG_AXIS[1], _LONG_AXIS[0]))
    left = _SEPTUM_CENTRE - _TO_RIGHT_VENTRICLE * (_SEPTUM_MM / 2 + lv_radius)
    right = _SEPTUM_CENTRE + _TO_RIGHT_VENTRICLE * (_SEPTUM_MM / 2 + rv_radius) - 2.0 * _LONG_AXIS
    return Heart(
        left_ventricle=Ellipsoid(tuple(left), (38.0, lv_radius, 30.0), turn),
        right_ventricle=Ellipsoid(tuple(right), (40.0, rv_radius, 32.0), turn),
        right_atrium=Ellipsoid((-30.0, -16.0, -82.0), (20.0, 24.0, 30.0)),
        left_atrium=Ellipsoid((6.0, 14.0, -62.0), (31.0, 17.0, 21.0)),
        outline=Ellipsoid((16.0, -24.0, -84.0), (48.0, 40.0, 38.0), turn),
    )


def _at(z: Array, table: Points) -> Array:
    return np.interp(z, _Z, table).astype(np.float32)


_POWER = np.float32(2.4)


def _superellipse(x: Array, y: Array, width: Array, depth: Array) -> Array:
    """Signed radial distance in mm to a superellipse with these half axes."""
    total = (np.abs(x) ** _POWER) * (width**-_POWER) + (np.abs(y) ** _POWER) * (depth**-_POWER)
    scaled = np.maximum(total, 1e-6) ** (1.0 / _POWER)
    return np.sqrt(x * x + y * y) * (1.0 - 1.0 / scaled)
