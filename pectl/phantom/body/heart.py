"""The four chambers of the heart as bent ellipsoids, and their muscle."""

from dataclasses import dataclass

import numpy as np

from pectl.phantom.grid import Array, Points, cuboid

SEPTUM_MM = 10.0
LEFT_WALL_MM, RIGHT_WALL_MM, ATRIUM_WALL_MM = 9.5, 3.5, 2.5

_LONG_AXIS = np.array([0.74, -0.67, 0.0])
"""Axial direction from the base of the heart to its apex: to the left and to the front."""
_TO_RIGHT_VENTRICLE = np.array([-0.67, -0.74, 0.0])
_SEPTUM_CENTRE = np.array([24.0, -32.0, -88.0])


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid whose long axis lies in the axial plane at `turn_rad` from +x, bent like a banana."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    """mm along the long axis, across it in the axial plane, and along z."""
    turn_rad: float = 0.0
    bend: float = 0.0
    """1/mm: the ends of the long axis lie bend * along^2 off it; the diameter across the middle stays."""

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance in mm, radial: exact on the surface and nearly so around it."""
        px, py, pz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        cosine, sine = np.float32(np.cos(self.turn_rad)), np.float32(np.sin(self.turn_rad))
        along = px * cosine + py * sine
        across = py * cosine - px * sine + np.float32(self.bend) * along**2
        flat = (along / self.radii[0]) ** 2 + (across / self.radii[1]) ** 2  # (1, H, W) on a slab
        scaled = np.sqrt(flat + (pz / self.radii[2]) ** 2)
        length = np.sqrt((along**2 + across**2) + pz**2)
        distance: Array = (1.0 - 1.0 / np.maximum(scaled, 1e-2)) * length
        return distance

    @property
    def reach_mm(self) -> float:
        """Radius of a ball around the centre that holds it."""
        return max(self.radii) + abs(self.bend) * self.radii[0] ** 2


@dataclass(frozen=True, kw_only=True)
class Heart:
    """The chambers; RV/LV is the ratio of the ventricles' inner axial diameters across the septum."""

    left_ventricle: Ellipsoid
    right_ventricle: Ellipsoid
    right_atrium: Ellipsoid
    left_atrium: Ellipsoid
    left_appendage: Ellipsoid
    right_appendage: Ellipsoid

    @classmethod
    def of(cls, *, lv_diameter_mm: float, rv_lv_ratio: float) -> "Heart":
        """Build a heart whose ventricles have these measures; a wide RV pushes the septum to the left."""
        turn = float(np.arctan2(_LONG_AXIS[1], _LONG_AXIS[0]))
        lv_radius, rv_radius = lv_diameter_mm / 2, lv_diameter_mm * rv_lv_ratio / 2
        septum = _SEPTUM_CENTRE - _TO_RIGHT_VENTRICLE * 0.35 * (rv_radius - 17.0)
        left = septum - _TO_RIGHT_VENTRICLE * (SEPTUM_MM / 2 + lv_radius)
        right = septum + _TO_RIGHT_VENTRICLE * (SEPTUM_MM / 2 + rv_radius) - 3.0 * _LONG_AXIS
        return cls(
            left_ventricle=Ellipsoid(_tuple(left), (38.0, lv_radius, 29.0), turn, 0.001),
            right_ventricle=Ellipsoid(_tuple(right), (41.0, rv_radius, 31.0), turn, -0.006),
            right_atrium=Ellipsoid((-32.0, -16.0, -82.0), (19.0, 23.0, 30.0)),
            left_atrium=Ellipsoid((7.0, 14.0, -62.0), (30.0, 16.0, 20.0)),
            left_appendage=Ellipsoid((40.0, -14.0, -52.0), (9.0, 14.0, 9.0)),
            right_appendage=Ellipsoid((-20.0, -42.0, -64.0), (12.0, 10.0, 12.0)),
        )

    @property
    def rv_diameter_mm(self) -> float:
        """Inner axial diameter of the right ventricle across the septum."""
        return 2.0 * self.right_ventricle.radii[1]

    @property
    def lv_diameter_mm(self) -> float:
        """Inner axial diameter of the left ventricle across the septum."""
        return 2.0 * self.left_ventricle.radii[1]

    @property
    def corners(self) -> Points:
        """Corners of a cuboid that holds chambers and muscle."""
        chambers = (self.left_ventricle, self.right_ventricle, self.right_atrium, self.left_atrium)
        centres = np.array([chamber.centre for chamber in chambers])
        flat = [(chamber.reach_mm, chamber.reach_mm, chamber.radii[2]) for chamber in chambers]
        reach = np.array(flat) + LEFT_WALL_MM
        return cuboid((centres - reach).min(axis=0), (centres + reach).max(axis=0))

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance to the outside of the muscle."""
        walls = (
            (self.left_ventricle, LEFT_WALL_MM),
            (self.right_ventricle, RIGHT_WALL_MM),
            (self.right_atrium, ATRIUM_WALL_MM),
            (self.left_atrium, ATRIUM_WALL_MM),
        )
        distance = np.float32(1e3)
        for chamber, wall_mm in walls:
            distance = np.minimum(distance, chamber.distance(x, y, z) - wall_mm)
        return np.minimum(distance, _SULCUS.distance(x, y, z))

    def papillary_muscles(self) -> tuple[tuple[Points, Points], ...]:
        """Return start and end of the two muscles that stand in the left ventricle."""
        centre = np.array(self.left_ventricle.centre)
        across = -_TO_RIGHT_VENTRICLE * 0.55 * self.left_ventricle.radii[1]
        return tuple(
            (
                centre + across + 18.0 * _LONG_AXIS + [0, 0, z],
                centre + 0.7 * across - 4.0 * _LONG_AXIS + [0, 0, 0.6 * z],
            )
            for z in (11.0, -12.0)
        )


_SULCUS = Ellipsoid((12.0, -22.0, -80.0), (34.0, 30.0, 30.0), -0.73)
"""Root of the great vessels and grooves: what fills the heart between its chambers."""


def _tuple(point: Points) -> tuple[float, float, float]:
    return float(point[0]), float(point[1]), float(point[2])
