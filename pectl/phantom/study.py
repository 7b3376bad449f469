"""Everything about one study before it becomes voxels: subject, vessels, contrast, emboli, scanner grid."""

from dataclasses import dataclass

import numpy as np

from pectl.config import PhantomConfig
from pectl.phantom.body.airways import Airways, lay_airways
from pectl.phantom.body.anatomy import BOTTOM_MM, TOP_MM, Anatomy
from pectl.phantom.body.mediastinum import Contrast
from pectl.phantom.body.opacities import Opacities, draw_opacities
from pectl.phantom.body.surroundings import Surroundings, draw_surroundings
from pectl.phantom.body.vessels import Tree, grow_tree, lobe_points
from pectl.phantom.confounders import draw_confounders
from pectl.phantom.courses import ARTERY_STEMS, VEIN_STEMS, Stem
from pectl.phantom.emboli import Embolus
from pectl.phantom.grid import Grid
from pectl.phantom.labels import ExamType, Findings
from pectl.phantom.placement import draw_emboli

_VEIN_ROOT_MM = 11.0
"""Radius of the vessel that would carry the flow of all pulmonary veins."""
_SMALLEST_VESSEL_PX = 0.42
_MOST_ENDS, _FEWEST_ENDS = 4000, 800
_STRAIN_WITHOUT_PE = 0.05
_UNENHANCED_HU = 80.0
"""Arteries below this mean a scan without an injection, unless the study is to be poor: all blood is alike."""


@dataclass(frozen=True, kw_only=True)
class Phantom:
    """One subject on one scanner."""

    grid: Grid
    anatomy: Anatomy
    opacities: Opacities
    surroundings: Surroundings
    arteries: Tree
    veins: Tree
    airways: Airways
    contrast: Contrast
    findings: Findings


def draw_phantom(rng: np.random.Generator, config: PhantomConfig, exam: ExamType) -> Phantom:
    """Draw one study of the given type."""
    central = exam == "positive" and bool(rng.random() < config.central_share)
    ratio = _rv_lv_ratio(rng, config, positive=exam == "positive", central=central)
    beside = rng.spawn(1)[0]  # what is drawn from it leaves the other draws as they are
    opacities = draw_opacities(beside, config)
    anatomy = opacities.raise_diaphragm(Anatomy.draw(rng, config, rv_lv_ratio=ratio), beside)
    grid = _draw_grid(rng, config)
    arteries = _draw_tree(rng, anatomy, grid, ARTERY_STEMS, anatomy.trunk_radius_mm)
    veins = _draw_tree(rng, anatomy, grid, VEIN_STEMS, _VEIN_ROOT_MM)
    confounders = draw_confounders(rng, arteries, veins, config)
    emboli: tuple[Embolus, ...] = ()
    if exam == "positive":
        emboli = draw_emboli(rng, arteries, grid.whole(), config, central=central)
    poor, motion = _faults(rng, exam)
    findings = Findings(
        tree=arteries,
        rv_lv_ratio=ratio,
        motion=motion,
        poor_contrast=poor,
        confounders=confounders,
        emboli=emboli,
    )
    return Phantom(
        grid=grid,
        anatomy=anatomy,
        arteries=arteries,
        veins=veins,
        findings=findings,
        opacities=opacities,
        surroundings=draw_surroundings(beside, config),
        airways=lay_airways(rng, arteries, anatomy.heart, plugs=confounders.mucus_plugs),
        contrast=_draw_contrast(rng, config, poor=poor),
    )


def _rv_lv_ratio(rng: np.random.Generator, config: PhantomConfig, *, positive: bool, central: bool) -> float:
    """Draw RV/LV: strain goes with PE, and more often with central PE."""
    strain = _STRAIN_WITHOUT_PE
    if positive:
        strain = config.rv_strain_share * (1.4 if central else 0.85)
    if rng.random() < strain:
        return float(rng.uniform(1.0 + config.rv_lv_gap, 1.55))
    return float(rng.uniform(0.65, 1.0 - config.rv_lv_gap))


def _faults(rng: np.random.Generator, exam: ExamType) -> tuple[bool, bool]:
    """Return (poor contrast, motion): at least one of them in an indeterminate study, none in others."""
    if exam != "indeterminate":
        return False, False
    poor = bool(rng.random() < 0.7)
    return poor, not poor or bool(rng.random() < 0.25)


def _draw_grid(rng: np.random.Generator, config: PhantomConfig) -> Grid:
    pixel = rng.uniform(*config.field_of_view_mm) / config.matrix_px
    step = (TOP_MM - BOTTOM_MM) / config.slices * rng.uniform(0.97, 1.03)
    first = -pixel * (config.matrix_px - 1) / 2
    return Grid(
        shape=(config.slices, config.matrix_px, config.matrix_px),
        spacing_mm=(step, pixel, pixel),
        first_mm=(
            TOP_MM - step * (config.slices - 1) + rng.uniform(-3.0, 3.0),
            first + rng.uniform(-6.0, 10.0),
            first + rng.uniform(-6.0, 6.0),
        ),
        angle_rad=float(np.deg2rad(rng.normal(0.0, 2.5))),
        offset_lps_mm=(rng.uniform(-15.0, 15.0), rng.uniform(-180.0, 0.0), rng.uniform(-1500.0, 300.0)),
    )


def _draw_tree(
    rng: np.random.Generator, anatomy: Anatomy, grid: Grid, stems: dict[str, Stem], root_radius_mm: float
) -> Tree:
    """Grow a tree down to vessels that a pixel can hardly show."""
    smallest = _SMALLEST_VESSEL_PX * grid.spacing_mm[1]
    ends = int(np.clip((root_radius_mm / smallest) ** 3, _FEWEST_ENDS, _MOST_ENDS))
    targets = lobe_points(rng, anatomy, ends)
    tree = grow_tree(rng, stems, targets, root_radius_mm=root_radius_mm, shift_mm=anatomy.shift_mm)
    tree.keep_off_heart(anatomy.heart, len(stems))
    return tree


def _draw_contrast(rng: np.random.Generator, config: PhantomConfig, *, poor: bool) -> Contrast:
    """Draw HU of blood; in a poor study the contrast has gone through to the left side."""
    if poor:
        artery = rng.uniform(85.0, 130.0)
        vein = rng.uniform(130.0, 200.0)
    else:
        artery = rng.uniform(*config.contrast_hu)
        vein = artery * rng.uniform(0.6, 0.95)
    if artery < _UNENHANCED_HU and not poor:
        return Contrast(artery=artery, vein=artery, aorta=artery, cava=artery, inferior_cava=artery)
    return Contrast(
        artery=artery,
        vein=vein,
        aorta=vein * rng.uniform(0.85, 1.0),
        cava=rng.uniform(180.0, 300.0) if poor else rng.uniform(500.0, 900.0),
        inferior_cava=rng.uniform(70.0, 130.0),
    )
