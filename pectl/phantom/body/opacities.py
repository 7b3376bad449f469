"""What takes the place of air in a lung beside fluid: tumours, and collapsed lobes (atelectasis).

Vessels run on through both, so that arteries and emboli keep their place and their truth.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pectl.config import PhantomConfig
from pectl.phantom.body.anatomy import Anatomy
from pectl.phantom.body.heart import Ellipsoid
from pectl.phantom.grid import Array, Slab, mix, soft

Side = Literal["right", "left"]
Part = Literal["lower", "upper", "whole"]

_PARTS: tuple[Part, ...] = ("lower", "upper", "whole")
_PART_SHARES = (0.5, 0.25, 0.25)
_MASS_HU, _COLLAPSE_HU, _NECROSIS_HU = (25.0, 70.0), (45.0, 100.0), 18.0
"""A tumour is soft to enhanced, and dead in its middle; a collapsed lobe takes up contrast well."""
_MASS_RADIUS_MM = (15.0, 55.0)
_LOBULES_MM = 3.0
_RAISED_MM: dict[Part, tuple[float, float]] = {"lower": (4.0, 14.0), "upper": (0.0, 8.0), "whole": (10.0, 28.0)}
"""How far a collapse draws the diaphragm up on its side."""


@dataclass(frozen=True, kw_only=True)
class Mass:
    """A lobulated tumour in or beside a lung."""

    shape: Ellipsoid
    necrosis: float
    """Share of its radii that is dead."""
    hu: float

    def share(self, slab: Slab, rough: Array) -> Array:
        """Share of each voxel (d, H, W) that lies in the tumour; `rough` is a random field of its surface."""
        distance = self.shape.distance(slab.x, slab.y, slab.z)
        return soft(distance + _LOBULES_MM * rough, slab.grid.spacing_mm[1])

    def inside_hu(self, slab: Slab, fine: Array) -> Array:
        """HU at each voxel (d, H, W), as if all of it were tumour."""
        a, b, c = (self.necrosis * radius for radius in self.shape.radii)
        dead = soft(replace(self.shape, radii=(a, b, c)).distance(slab.x, slab.y, slab.z), 6.0)
        hu: Array = self.hu + 6.0 * fine + dead * np.float32(_NECROSIS_HU - self.hu)
        return hu


@dataclass(frozen=True, kw_only=True)
class Collapse:
    """A lobe or a whole lung without air."""

    side: Side
    part: Part
    height_mm: float
    """Body z where the collapse ends: of a lower lobe at the back wall, of an upper lobe in the middle."""
    hu: float

    def distance(self, x: Array, y: Array, z: Array) -> Array:
        """Signed distance to the space that is collapsed; the outline of the lungs bounds it."""
        across = x if self.side == "right" else -x
        if self.part == "whole":
            return across + 0.0 * z
        if self.part == "lower":  # behind and below the oblique fissure, which falls to the front
            fissure = (z - self.height_mm + 1.1 * (60.0 - y)) * np.float32(0.67)
        else:  # above and in front
            fissure = (self.height_mm - z + 0.4 * y) * np.float32(0.93)
        distance: Array = np.maximum(fissure, across)
        return distance


@dataclass(frozen=True, kw_only=True)
class Opacities:
    """Those of one study."""

    mass: Mass | None = None
    collapse: Collapse | None = None

    def raise_diaphragm(self, anatomy: Anatomy, rng: np.random.Generator) -> Anatomy:
        """Return the subject with the diaphragm drawn up on the side of a collapse."""
        if self.collapse is None:
            return anatomy
        raised = rng.uniform(*_RAISED_MM[self.collapse.part])
        if self.collapse.side == "right":
            return replace(anatomy, dome_right_mm=anatomy.dome_right_mm + raised)
        return replace(anatomy, dome_left_mm=anatomy.dome_left_mm + raised)


def draw_opacities(rng: np.random.Generator, config: PhantomConfig) -> Opacities:
    """Draw the opacities of one study; each kind is there with its probability."""
    has_mass, has_collapse = rng.random(2) < (config.mass_probability, config.collapse_probability)
    mass, collapse = _draw_mass(rng), _draw_collapse(rng)
    return Opacities(mass=mass if has_mass else None, collapse=collapse if has_collapse else None)


def paint_opacities(
    hu: Array, opacities: Opacities, slab: Slab, lung: Array, fields: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Paint tumour and collapse, in place.

    Args:
        hu: (d, H, W), lungs painted.
        opacities: of the study.
        slab: of the grid.
        lung: share of each voxel that is lung, with air or without.
        fields: a rough and a fine random field.

    Returns:
        The shares of each voxel that are tumour and that are collapsed lung.
    """
    rough, fine = fields
    mass: Array = np.zeros(slab.shape, np.float32)
    collapse: Array = np.zeros(slab.shape, np.float32)
    if opacities.collapse is not None:
        place = opacities.collapse.distance(slab.x, slab.y, slab.z)
        collapse = lung * soft(place + 2.0 * rough, slab.grid.spacing_mm[1])
        mix(hu, collapse, opacities.collapse.hu + 8.0 * fine)
    if opacities.mass is not None:
        mass = lung * opacities.mass.share(slab, rough)
        mix(hu, mass, opacities.mass.inside_hu(slab, fine))
        collapse = np.maximum(collapse - mass, 0.0)
    return mass, collapse


def _draw_mass(rng: np.random.Generator) -> Mass:
    radius = rng.uniform(*_MASS_RADIUS_MM)
    side = 1.0 if rng.random() < 0.5 else -1.0
    centre = side * rng.uniform(45.0, 100.0), rng.uniform(-40.0, 60.0), rng.uniform(-75.0, 60.0)
    radii = radius * rng.uniform(0.8, 1.0), radius * rng.uniform(0.7, 1.0), radius
    return Mass(
        shape=Ellipsoid(centre, radii, rng.uniform(0.0, np.pi)),
        necrosis=rng.uniform(0.2, 0.6),
        hu=rng.uniform(*_MASS_HU),
    )


def _draw_collapse(rng: np.random.Generator) -> Collapse:
    part = _PARTS[int(rng.choice(len(_PARTS), p=_PART_SHARES))]
    height = rng.uniform(-25.0, 25.0) if part == "lower" else rng.uniform(-15.0, 20.0)
    side: Side = "right" if rng.random() < 0.5 else "left"
    return Collapse(side=side, part=part, height_mm=height, hu=rng.uniform(*_COLLAPSE_HU))
