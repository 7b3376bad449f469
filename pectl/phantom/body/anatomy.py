"""The measures of one subject, and the closed shapes (skin, cage, lungs) as signed distances in mm.

Shapes take body-frame coordinates that broadcast together: those of a slab of voxels, or of a list of points.
Sizes follow textbook adult anatomy around the carina (z = 0).
"""

from dataclasses import dataclass

import numpy as np

from pectl.config import PhantomConfig
from pectl.phantom.body.heart import Ellipsoid, Heart
from pectl.phantom.grid import Array, Points, Slab, cuboid

TOP_MM, BOTTOM_MM = 98.0, -132.0
"""Body z of the first and last slice of a scan: from the lungs' apex to below the domes of the diaphragm."""

PERICARDIUM_MM = 4.0
WALL_MM = 13.0
"""Ribs and the muscles between them, outside the cage."""

_Z = np.array([-150.0, -80.0, -20.0, 30.0, 60.0, 80.0, 95.0, 110.0])
_CAGE_WIDTH = np.array([134.0, 132.0, 126.0, 112.0, 92.0, 68.0, 42.0, 10.0])
_CAGE_DEPTH = np.array([90.0, 88.0, 84.0, 72.0, 58.0, 46.0, 32.0, 8.0])
_CAGE_CENTRE = np.array([-2.0, -2.0, 0.0, 4.0, 8.0, 12.0, 15.0, 18.0])
_BODY_WIDTH = np.array([147.0, 149.0, 151.0, 156.0, 162.0, 166.0, 166.0, 160.0])
_BODY_DEPTH = np.array([104.0, 104.0, 102.0, 97.0, 92.0, 86.0, 78.0, 68.0])
_COLUMN_WIDTH = np.array([26.0, 26.0, 28.0, 32.0, 35.0, 37.0, 38.0, 38.0])
_POWER = 2.4
_BREAST_BLEND_MM = 30.0
_FAR_MM = 1e3
_MATTERS_MM = 30.0
"""Further off the heart, or the middle, the outline of the lungs doesn't depend on it."""
_SPINE_END_MM = 105.0
"""Body y of the tips of the spinous processes."""


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """The measures of one subject."""

    width: float
    depth: float
    """Factors on the width and depth of the cage and of the body."""
    fat_mm: float
    """Thickness of the fat under the skin."""
    female: bool
    dome_right_mm: float
    dome_left_mm: float
    """Body z of the tops of the diaphragm."""
    trunk_radius_mm: float
    heart: Heart
    effusion_mm: tuple[float, float]
    """Depth of the fluid at the back of the right and of the left chest; 0 is none."""
    shift_mm: Points
    """(3,): shift of the vessels' courses."""

    @classmethod
    def draw(cls, rng: np.random.Generator, config: PhantomConfig, *, rv_lv_ratio: float) -> "Anatomy":
        """Draw a subject whose ventricles have the given ratio of axial diameters."""
        lv_diameter = rng.uniform(37.0, 45.0) / max(1.0, rv_lv_ratio) ** 0.4  # a wide RV leaves less room
        fluid = rng.uniform(*config.effusion_mm, 2) * (rng.random(2) < config.effusion_probability)
        return cls(
            width=rng.uniform(0.94, 1.06),
            depth=rng.uniform(0.94, 1.06),
            fat_mm=rng.uniform(6.0, 20.0),
            female=bool(rng.random() < 0.5),
            dome_right_mm=rng.uniform(-108.0, -92.0),
            dome_left_mm=rng.uniform(-116.0, -102.0),
            trunk_radius_mm=rng.uniform(12.5, 14.5),
            heart=Heart.of(lv_diameter_mm=lv_diameter, rv_lv_ratio=rv_lv_ratio),
            effusion_mm=(float(fluid[0]), float(fluid[1])),
            shift_mm=rng.normal(0.0, 1.5, 3),
        )

    def cage_distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance to the inside of the rib cage."""
        width, depth = at(z, _CAGE_WIDTH) * self.width, at(z, _CAGE_DEPTH) * self.depth
        return superellipse(x, y - at(z, _CAGE_CENTRE), width, depth)

    def half_width(self, z: Array) -> Array:
        """Half the width of the body, breasts left out, at body z."""
        return at(z, _BODY_WIDTH) * np.float32(self.width) + np.float32(self.fat_mm - 6.0)

    def skin_distance(self, slab: Slab) -> Array:
        """Signed distance of a slab's voxels (d, H, W) to the skin."""
        depth = at(slab.z, _BODY_DEPTH) * self.depth + (self.fat_mm - 6.0)
        skin = superellipse(slab.x, slab.y - 4.0, self.half_width(slab.z), depth)
        if self.female:
            self._add_breasts(skin, slab)
        return skin

    def _add_breasts(self, skin: Array, slab: Slab) -> None:
        """Join the breasts to the skin, in place."""
        breast = Ellipsoid((70.0, -98.0 * self.depth, -46.0), (56.0, 18.0 + self.fat_mm, 56.0))
        high = np.add(breast.centre, breast.radii)
        low = np.subtract((-breast.centre[0], *breast.centre[1:]), breast.radii)
        box = slab.box_around(cuboid(low, high), 1.5 * _BREAST_BLEND_MM)
        if box is not None:
            part = slab.cut(box)
            skin[box] = _blend(skin[box], breast.distance(np.abs(part.x), part.y, part.z), _BREAST_BLEND_MM)

    def body_corners(self, z: Array) -> Points:
        """Return the corners of a cuboid that holds the body at these heights, breasts and arm pits included."""
        half_width = float(self.half_width(z).max())
        half_depth = float(at(z, _BODY_DEPTH).max()) * self.depth + self.fat_mm - 6.0
        front = 4.0 - half_depth
        if self.female:
            front = min(front, -98.0 * self.depth - 18.0 - self.fat_mm - _BREAST_BLEND_MM / 4.0)
        back = max(4.0 + half_depth, _SPINE_END_MM)
        return cuboid((-half_width, front, z.min()), (half_width, back, z.max()))

    def cage_corners(self, z: Array) -> Points:
        """Return the corners of a cuboid that holds the inside of the rib cage at these heights."""
        half_width, half_depth = at(z, _CAGE_WIDTH).max() * self.width, at(z, _CAGE_DEPTH) * self.depth
        front, back = (at(z, _CAGE_CENTRE) + way * half_depth for way in (-1.0, 1.0))
        return cuboid((-half_width, front.min(), z.min()), (half_width, back.max(), z.max()))

    def middle_distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance to what lies between the lungs above the heart and in front of the spine."""
        column = superellipse(x - 2.0, y - 8.0, at(z, _COLUMN_WIDTH), 46.0)
        front = superellipse(x - 4.0, y + 62.0, at(z, _COLUMN_WIDTH) - 17.0, 46.0)
        return _blend(column, front, 16.0)

    def mediastinum_distance(self, slab: Slab) -> Array:
        """Signed distance of a slab's voxels (d, H, W) to what lies between the lungs; a large one where it is far."""
        middle = np.full(slab.shape, _FAR_MM, dtype=np.float32)
        heart = middle.copy()
        column_mm = float(_COLUMN_WIDTH.max())
        column = cuboid((-column_mm, -108.0, slab.z.min()), (column_mm, 54.0, slab.z.max()))
        for distance, shape, corners in (
            (middle, self.middle_distance, column),
            (heart, self.heart.distance, self.heart.corners),
        ):
            box = slab.box_around(corners, _MATTERS_MM)
            if box is not None:
                part = slab.cut(box)
                distance[box] = shape(part.x, part.y, part.z)
        return _mediastinum(middle, heart, slab.x, slab.y)

    def diaphragm_height(self, x: Array, y: Array) -> Array:
        """Body z of the diaphragm's surface at (x, y)."""
        right = self.dome_right_mm - ((x + 62.0) ** 2 / 170.0 + (y + 8.0) ** 2 / 150.0)
        left = self.dome_left_mm - ((x - 66.0) ** 2 / 170.0 + (y + 2.0) ** 2 / 150.0)
        return np.where(x < 0.0, right, left)

    def lung_distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance of points (n,) to the two lungs, fluid in the chest left out."""
        between = _mediastinum(self.middle_distance(x, y, z), self.heart.distance(x, y, z), x, y)
        return self.lung_beside(self.cage_distance(x, y, z), between, x, y, z)

    def lung_beside(self, cage: Array, between: Array, x: Array, y: Array, z: Array) -> Array:
        """Signed distance to the two lungs, from those to the cage's inside and to what lies between the lungs."""
        above = (self.diaphragm_height(x, y) - z) * np.float32(0.7)  # about normal to the dome's slope
        inside = np.maximum(cage, above)
        if any(self.effusion_mm):
            inside = np.maximum(inside, -self.fluid_distance(x, y, z))
        return np.maximum(inside, -between)

    def fluid_distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance to the half spaces that effusions fill: lowest at the back, deeper further down."""
        right, left = (mm if mm else -1e3 for mm in self.effusion_mm)
        depth = np.where(x < 0.0, np.float32(right), np.float32(left))
        distance: Array = 84.0 * self.depth - depth - y + 0.25 * (z + 60.0)
        return distance


def _mediastinum(middle: Array, heart: Array, x: Array, y: Array) -> Array:
    """Signed distance to all that lies between the lungs."""
    spine = superellipse(x, y - 66.0, 25.0, 33.0)
    return np.minimum(_blend(middle, heart - PERICARDIUM_MM, 10.0), spine)


def _blend(one: Array, other: Array, reach_mm: float) -> Array:
    """Return the signed distance to the union of two shapes whose seam is rounded off."""
    near = np.maximum(np.float32(reach_mm) - np.abs(one - other), 0.0)
    union: Array = np.minimum(one, other) - near * near / np.float32(4.0 * reach_mm)
    return union


def at(z: Array, table: Points) -> Array:
    """Interpolate a table of the anatomy at body z."""
    return np.interp(z, _Z, table).astype(np.float32)


def superellipse(x: Array, y: Array, width: Array | float, depth: Array | float) -> Array:
    """Signed radial distance in mm to a superellipse with these half axes."""
    total = (np.abs(x) ** _POWER) * (width**-_POWER) + (np.abs(y) ** _POWER) * (depth**-_POWER)
    distance: Array = np.sqrt(x * x + y * y) * (1.0 - np.maximum(total, 1e-6) ** (-1.0 / _POWER))
    return distance
