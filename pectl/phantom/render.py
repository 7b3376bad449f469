"""From geometry to HU: tissues painted one over the other, each with the share of a voxel that it fills."""

from dataclasses import dataclass

import numpy as np

from pectl.phantom.body.mediastinum import (
    paint_airways,
    paint_course,
    paint_great_vessels,
    paint_heart,
)
from pectl.phantom.body.opacities import paint_opacities
from pectl.phantom.body.surroundings import paint_surroundings
from pectl.phantom.body.torso import paint_torso
from pectl.phantom.confounders import Unmixed
from pectl.phantom.fields import SmoothField
from pectl.phantom.grid import Array, Box, Slab, mix, mix_inside, soft
from pectl.phantom.study import Phantom
from pectl.phantom.tubes import ball, paint_tubes, tubes

ROOM_HU, LUNG_HU = -1000.0, -860.0
_GRAVITY_HU_PER_MM = 0.4
"""Lungs are denser towards the back of a patient who lies on it."""
_MARGIN_MM = 15.0
"""How far random fields and the width of a voxel move the outline of the body and of the lungs at most."""


MASKS = ("embolus", "chronic", "artery", "lung", "collapse", "mass", "ventricle")
"""Of the truth, as `Rendered` has them in this order."""


@dataclass(frozen=True)
class Fields:
    """The random fields of one study, alike for each of its slabs."""

    coarse: SmoothField
    fine: SmoothField

    @classmethod
    def draw(cls, rng: np.random.Generator, slab: Slab) -> "Fields":
        """Draw fields that cover the slab's grid."""
        return cls(SmoothField.draw(rng, slab, 25.0), SmoothField.draw(rng, slab, 8.0))


@dataclass(frozen=True)
class Rendered:
    """One slab, (d, H, W): HU before the scanner's blur and noise, and the masks of the truth."""

    hu: Array
    embolus: np.ndarray
    chronic: np.ndarray
    """Embolus of a chronic kind."""
    artery: np.ndarray
    lung: np.ndarray
    """Lung with air in it."""
    collapse: np.ndarray
    mass: np.ndarray
    ventricle: np.ndarray
    """Both ventricles of the heart."""

    @classmethod
    def of_air(cls, shape: tuple[int, int, int]) -> "Rendered":
        """Return a slab of room air in which nothing is painted yet."""
        return cls(np.full(shape, ROOM_HU, dtype=np.float32), *(np.zeros(shape, dtype=bool) for _ in MASKS))

    def at(self, box: Box) -> "Rendered":
        """Return a view of a box of the slab."""
        return Rendered(self.hu[box], *(getattr(self, name)[box] for name in MASKS))


def render(study: Phantom, slab: Slab, fields: Fields) -> Rendered:
    """Paint one slab of a study, (d, H, W)."""
    rendered = Rendered.of_air(slab.shape)
    for box in slab.pieces():
        _paint_body(rendered.at(box), study, slab.cut(box), fields)
    hu = rendered.hu
    paint_heart(hu, rendered.ventricle, study.anatomy.heart, study.contrast, slab, fields.fine)
    paint_airways(hu, study.airways, slab)
    _paint_nodes(hu, study, slab)
    paint_great_vessels(hu, study.contrast, slab)
    paint_tubes(hu, slab, study.veins.tubes(), study.contrast.vein)
    _paint_other_clots(hu, study, slab)
    _paint_arteries(rendered, study, slab)
    _paint_emboli(rendered, study, slab)
    return rendered


def _paint_body(rendered: Rendered, study: Phantom, slab: Slab, fields: Fields) -> None:
    """Paint what lies around the body, and of the body all but heart, vessels and airways."""
    anatomy = study.anatomy
    paint_surroundings(rendered.hu, study.surroundings, anatomy, slab)
    box = slab.box_around(anatomy.body_corners(slab.z), _MARGIN_MM)
    if box is None:
        return
    rendered, slab = rendered.at(box), slab.cut(box)
    coarse, fine = fields.coarse.on(slab), fields.fine.on(slab)
    cage = anatomy.cage_distance(slab.x, slab.y, slab.z)
    paint_torso(rendered.hu, anatomy, slab, cage, (coarse, fine))
    box = slab.box_around(anatomy.cage_corners(slab.z), _MARGIN_MM)
    if box is not None:
        _paint_lungs(rendered.at(box), study, slab.cut(box), cage[box], (coarse[box], fine[box]))


def _paint_lungs(rendered: Rendered, study: Phantom, slab: Slab, cage: Array, fields: tuple[Array, Array]) -> None:
    """Paint the lungs and what takes the place of air in them; `cage` is the signed distance to their cage."""
    coarse, fine = fields
    between = study.anatomy.mediastinum_distance(slab)
    inside = study.anatomy.lung_beside(cage, between, slab.x, slab.y, slab.z)
    lung = soft(inside + 1.5 * coarse, slab.grid.spacing_mm[1])
    mix(rendered.hu, lung, LUNG_HU + _GRAVITY_HU_PER_MM * (slab.y + 80.0) + 14.0 * fine + 10.0 * coarse)
    mass, collapse = paint_opacities(rendered.hu, study.opacities, slab, lung, fields)
    np.greater(lung - mass - collapse, 0.5, out=rendered.lung)
    np.greater(collapse, 0.5, out=rendered.collapse)
    np.greater(mass, 0.5, out=rendered.mass)


def _paint_nodes(hu: Array, study: Phantom, slab: Slab) -> None:
    for node in study.findings.confounders.nodes:
        piece = ball(slab, node.centre, node.radius_mm)
        if piece is not None:
            box, distance = piece
            mix(hu[box], soft(distance, slab.grid.spacing_mm[1]), node.hu)


def _paint_other_clots(hu: Array, study: Phantom, slab: Slab) -> None:
    for clot in study.findings.confounders.clots:
        paint_course(hu, slab, clot.path, clot.radius_mm, clot.hu)


def _arterial_blood(study: Phantom, slab: Slab) -> Array | float:
    """Return the HU of arterial blood: one number, or (d, H, W) where contrast is unmixed."""
    clouds = study.findings.confounders.unmixed
    if not clouds:
        return study.contrast.artery
    blood = np.full(slab.shape, study.contrast.artery, dtype=np.float32)
    for cloud in clouds:
        _thin_out(blood, cloud, slab)
    return blood


def _thin_out(blood: Array, cloud: Unmixed, slab: Slab) -> None:
    piece = ball(slab, cloud.centre, 2.0 * cloud.radius_mm)
    if piece is not None:
        box, distance = piece
        away = (distance + 2.0 * cloud.radius_mm) / cloud.radius_mm
        blood[box] *= 1.0 - cloud.loss * np.exp(-(away**2))


def _paint_arteries(rendered: Rendered, study: Phantom, slab: Slab) -> None:
    painted = tubes(slab, *study.arteries.tubes())
    if painted is not None:
        box, share = painted
        mix_inside(rendered.hu[box], share, _arterial_blood(study, slab.cut(box)))
        np.greater(share, 0.5, out=rendered.artery[box])


def _paint_emboli(rendered: Rendered, study: Phantom, slab: Slab) -> None:
    """Paint the emboli over the blood; where they overlap, the first stays."""
    total, chronic = np.zeros((2, *slab.shape), dtype=np.float32)
    for embolus in study.findings.emboli:
        filled = embolus.fill(slab)
        if filled is not None:
            box, share = filled
            new = np.maximum(share - total[box], 0.0)
            rendered.hu[box] += new * (embolus.hu - study.contrast.artery)
            total[box] += new
            if embolus.chronic:
                chronic[box] += new
            rendered.embolus[box] = total[box] > 0.5
            rendered.chronic[box] = rendered.embolus[box] & (2.0 * chronic[box] > total[box])
            rendered.artery[box] |= rendered.embolus[box]
