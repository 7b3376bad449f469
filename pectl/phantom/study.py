"""Everything about one study before it becomes voxels: subject, vessels, contrast, emboli, scanner grid."""

from dataclasses import dataclass

import numpy as np

from pectl.config import PhantomConfig
from pectl.phantom.anatomy import BOTTOM_MM, TOP_MM, Anatomy
from pectl.phantom.emboli import draw_emboli
from pectl.phantom.grid import Grid
from pectl.phantom.labels import Findings
from pectl.phantom.vessels import ARTERY_STEMS, VEIN_STEMS, Tree, grow_tree, lobe_points


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """HU of blood by place; timing decides how bright the left side of the heart is."""

    artery: float
    vein: float
    aorta: float
    svc: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """One subject on one scanner."""

    uid: str
    grid: Grid
    anatomy: Anatomy
    arteries: Tree
    veins: Tree
    contrast: Contrast
    findings: Findings
    noise_hu: float


def draw_study(rng: np.random.Generator, config: PhantomConfig) -> Study:
    """Draw one study of the cohort."""
    uid = rng.bytes(6).hex()
    indeterminate = rng.random() < config.indeterminate_fraction
    positive = not indeterminate and rng.random() < config.prevalence / (
        1 - config.indeterminate_fraction + 1e-9
    )
    ratio = _rv_lv_ratio(rng, config, positive=positive)
    anatomy = Anatomy.draw(rng, rv_lv_ratio=ratio)
    grid = _draw_grid(rng, config)
    arteries = _tree(rng, anatomy, grid, ARTERY_STEMS, anatomy.trunk_radius_mm)
    veins = _tree(rng, anatomy, grid, VEIN_STEMS, 11.0)
    emboli = draw_emboli(rng, arteries, grid.whole(), config) if positive else []
    motion = indeterminate and bool(rng.random() < 0.4)
    poor = indeterminate and (not motion or bool(rng.random() < 0.2))
    findings = Findings(
        tree=arteries, emboli=emboli, rv_lv_ratio=ratio, motion=motion, poor_contrast=poor,
        flow_artifact=bool(rng.random() < config.flow_probability),
    )  # fmt: skip
    return Study(
        uid=uid, grid=grid, anatomy=anatomy, arteries=arteries, veins=veins,
        contrast=_contrast(rng, config, poor=poor), findings=findings, noise_hu=rng.uniform(*config.noise_hu),
    )  # fmt: skip


def _rv_lv_ratio(rng: np.random.Generator, config: PhantomConfig, *, positive: bool) -> float:
    strained = rng.random() < (config.rv_strain_share if positive else 0.05)
    if strained:
        return float(rng.uniform(1.0 + config.rv_lv_gap, 1.55))
    return float(rng.uniform(0.65, 1.0 - config.rv_lv_gap))


def _draw_grid(rng: np.random.Generator, config: PhantomConfig) -> Grid:
    fov = rng.uniform(330.0, 365.0)
    step = (TOP_MM - BOTTOM_MM) / config.slices * rng.uniform(0.97, 1.03)
    pixel = fov / config.matrix_px
    half = pixel * (config.matrix_px - 1) / 2
    return Grid(
        shape=(config.slices, config.matrix_px, config.matrix_px),
        spacing_mm=(step, pixel, pixel),
        first_mm=(TOP_MM - step * (config.slices - 1) + rng.uniform(-3, 3), -half + rng.uniform(-6, 6), -half + rng.uniform(-6, 6)),
        angle_rad=float(np.deg2rad(rng.normal(0.0, 2.0))),
        offset_lps_mm=(rng.uniform(-15, 15), rng.uniform(-180, 0), rng.uniform(-1500, 300)),
    )  # fmt: skip


def _tree(rng: np.random.Generator, anatomy: Anatomy, grid: Grid, stems: dict, radius: float) -> Tree:
    smallest = 0.45 * grid.spacing_mm[1]
    count = int(np.clip((radius / smallest) ** 3, 300, 1800))
    targets = lobe_points(rng, anatomy, count)
    return grow_tree(rng, stems, targets, root_radius_mm=radius, shift=anatomy.jitter)


def _contrast(rng: np.random.Generator, config: PhantomConfig, *, poor: bool) -> Contrast:
    artery = rng.uniform(90.0, 140.0) if poor else rng.uniform(*config.contrast_hu)
    left = rng.uniform(0.6, 0.95)
    return Contrast(
        artery=artery,
        vein=artery * left,
        aorta=artery * left * rng.uniform(0.85, 1.0),
        svc=rng.uniform(500.0, 900.0),
    )
