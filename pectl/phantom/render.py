"""From geometry to HU: tissues painted one over the other, each with the share of a voxel that it fills."""

from dataclasses import dataclass

import numpy as np

from pectl.phantom.confounders import Unmixed
from pectl.phantom.fields import SmoothField
from pectl.phantom.grid import Array, Slab, mix, soft
from pectl.phantom.mediastinum import (
    paint_airways,
    paint_course,
    paint_great_vessels,
    paint_heart,
)
from pectl.phantom.opacities import paint_opacities
from pectl.phantom.study import Phantom
from pectl.phantom.surroundings import paint_surroundings
from pectl.phantom.torso import paint_torso
from pectl.phantom.tubes import ball, tubes_share

ROOM_HU, LUNG_HU = -1000.0, -860.0
_GRAVITY_HU_PER_MM = 0.4
"""Lungs are denser towards the back of a patient who lies on it."""


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
    """One slab: HU before the scanner's blur and noise, and the masks of the truth."""

    hu: Array
    embolus: np.ndarray
    artery: np.ndarray
    lung: np.ndarray
    """Lung with air in it."""
    collapse: np.ndarray
    mass: np.ndarray


def render(study: Phantom, slab: Slab, fields: Fields) -> Rendered:
    """Paint one slab of a study, (d, H, W)."""
    coarse, fine = fields.coarse.on(slab), fields.fine.on(slab)
    at = (slab.x, slab.y, slab.z)
    hu = np.full(slab.shape, ROOM_HU, dtype=np.float32)
    paint_surroundings(hu, study.surroundings, study.anatomy, slab)
    paint_torso(hu, study.anatomy, slab, coarse, fine)
    lung = soft(study.anatomy.lung_distance(*at) + 1.5 * coarse, slab.grid.spacing_mm[1])
    mix(hu, lung, LUNG_HU + _GRAVITY_HU_PER_MM * (slab.y + 80.0) + 14.0 * fine + 10.0 * coarse)
    mass, collapse = paint_opacities(hu, study.opacities, slab, lung, (coarse, fine))
    paint_heart(hu, study.anatomy.heart, study.contrast, slab, fine)
    paint_airways(hu, study.airways, slab)
    _paint_nodes(hu, study, slab)
    paint_great_vessels(hu, study.contrast, slab)
    mix(hu, tubes_share(slab, *study.veins.tubes()), study.contrast.vein)
    _paint_other_clots(hu, study, slab)
    artery = tubes_share(slab, *study.arteries.tubes())
    mix(hu, artery, _arterial_blood(study, slab))
    embolus = _paint_emboli(hu, study, slab)
    return Rendered(
        hu,
        embolus=embolus > 0.5,
        artery=np.maximum(artery, embolus) > 0.5,
        lung=lung - mass - collapse > 0.5,
        collapse=collapse > 0.5,
        mass=mass > 0.5,
    )


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


def _paint_emboli(hu: Array, study: Phantom, slab: Slab) -> Array:
    """Paint the emboli over the blood and return the share of each voxel that they fill."""
    total = np.zeros(slab.shape, dtype=np.float32)
    for embolus in study.findings.emboli:
        filled = embolus.fill(slab)
        if filled is not None:
            box, share = filled
            new = np.maximum(share - total[box], 0.0)
            hu[box] += new * (embolus.hu - study.contrast.artery)
            total[box] += new
    return total
