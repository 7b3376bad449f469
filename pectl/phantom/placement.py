"""Where the emboli of a study lie: which arteries, how far along them, of which kind."""

import numpy as np

from pectl.config import PhantomConfig
from pectl.phantom.body.vessels import Branch, Tree
from pectl.phantom.emboli import EMBOLUS_HU, Embolus, Kind, image_area_mm2
from pectl.phantom.grid import Slab
from pectl.phantom.paths import Path, across, along, cut, dense
from pectl.phantom.sizes import draw_count, draw_sized, draw_volumes

_TRIES = 40
_NARROWEST = 0.6
"""An embolus ends where its artery is narrower than this share of the smallest that may hold its start."""
_GROWTH = 1.2
"""An embolus that has to show and is too small to grows by so much at each try."""


def draw_emboli(
    rng: np.random.Generator, tree: Tree, slab: Slab, config: PhantomConfig, *, central: bool
) -> tuple[Embolus, ...]:
    """Draw the emboli of a positive study, the first of them central if so asked.

    Each shows on at least one slice of the slab; one that is too small to show is drawn anew. Of those that are
    drawn by volume only the first has to.
    """
    if config.embolus_mm3 is not None:
        return _draw_by_volume(rng, tree, slab, config, config.embolus_mm3, central=central)
    count = int(rng.integers(config.emboli[0], config.emboli[1] + 1))
    found: list[Embolus] = []
    for position, kind in enumerate(_draw_kinds(rng, count, config)):
        for attempt in range(_TRIES):
            in_main = (central and position == 0) or attempt > _TRIES // 2  # wide enough to show
            embolus = _draw_one(rng, tree, kind, config, central=in_main)
            if slices_with(embolus, slab, config.present_area_mm2).any():
                found.append(embolus)
                break
    return tuple(found)


def _draw_by_volume(
    rng: np.random.Generator,
    tree: Tree,
    slab: Slab,
    config: PhantomConfig,
    low_high_mm3: tuple[float, float],
    *,
    central: bool,
) -> tuple[Embolus, ...]:
    """Draw emboli of drawn volumes, as `draw_emboli` does."""
    kinds = _draw_kinds(rng, draw_count(rng, config), config)
    volumes = draw_volumes(rng, low_high_mm3, config, len(kinds), central=central)
    pixel_mm2 = slab.grid.spacing_mm[1] * slab.grid.spacing_mm[2]
    found: list[Embolus] = []
    for position, kind in enumerate(kinds):
        for attempt in range(_TRIES):
            growth = 1.0 if position else _GROWTH**attempt
            embolus = draw_sized(rng, tree, kind, growth * volumes[position], config)
            if slices_with(embolus, slab, pixel_mm2 if position else config.present_area_mm2).any():
                found.append(embolus)
                break
    return tuple(found)


def slices_with(embolus: Embolus, slab: Slab, area_mm2: float) -> np.ndarray:
    """Return (slices,) whether the embolus' mask reaches the area that counts as present on an image."""
    shown = np.zeros(slab.shape[0], dtype=bool)
    filled = embolus.fill(slab)
    if filled is not None:
        box, share = filled
        shown[box[0]] = image_area_mm2(share > 0.5, slab.grid.spacing_mm) >= area_mm2
    return shown


def _draw_kinds(rng: np.random.Generator, count: int, config: PhantomConfig) -> list[Kind]:
    draw = rng.random()
    chronic: list[Kind] = ["web" if rng.random() < config.web_share else "wall" for _ in range(count)]
    if draw < config.chronic_share:
        return chronic
    if draw < config.chronic_share + config.acute_and_chronic_share:
        return ["acute", *chronic[: max(1, count - 1)]]
    return ["acute"] * count


def _draw_one(rng: np.random.Generator, tree: Tree, kind: Kind, config: PhantomConfig, *, central: bool) -> Embolus:
    length = rng.uniform(*config.embolus_length_mm)
    if central and kind == "acute" and rng.random() < config.saddle_share:
        points, owners = _saddle(tree, length)
    else:
        points, owners = _run(rng, tree, length, config, central=central)
    radii = np.array([tree.branches[owner].radius_mm for owner in owners])
    return Embolus(
        kind=kind,
        path=points,
        radii_mm=np.minimum(radii[:-1], radii[1:]),
        branches=tuple(dict.fromkeys(owners)),
        share=rng.uniform(*config.lumen_share),
        lean=across(rng, points[-1] - points[0]),
        hu=rng.uniform(*EMBOLUS_HU),
    )


def _run(rng: np.random.Generator, tree: Tree, length_mm: float, config: PhantomConfig, *, central: bool) -> Path:
    """Walk down the tree from a random artery until the length is reached."""
    current = _draw_host(rng, tree, config.min_artery_radius_mm, central=central)
    points = dense(tree.branches[current].points)
    points = points[int(rng.integers(0, max(1, len(points) // 2))) :]
    owners = [current] * len(points)
    while along(points)[-1] < length_mm and (next_ones := tree.children(current)):
        current = max(next_ones, key=lambda index: tree.branches[index].radius_mm * rng.uniform(0.8, 1.0))
        if tree.branches[current].radius_mm < _NARROWEST * config.min_artery_radius_mm:
            break
        more = dense(tree.branches[current].points)[1:]
        points = np.concatenate([points, more])
        owners += [current] * len(more)
    return cut(points, owners, length_mm)


def _draw_host(rng: np.random.Generator, tree: Tree, min_radius_mm: float, *, central: bool) -> int:
    """Draw the artery in which an embolus begins: its level first, so that small ones don't prevail."""
    levels: dict[str, list[int]] = {}
    for index, branch in enumerate(tree.branches):
        if branch.radius_mm >= min_radius_mm:
            levels.setdefault(branch.level, []).append(index)
    peripheral = [level for level in ("lobar", "segmental", "subsegmental") if level in levels]
    level = "main" if central or not peripheral else peripheral[int(rng.integers(len(peripheral)))]
    hosts = levels.get(level) or [i for i, branch in enumerate(tree.branches) if branch.level == "main"]
    return hosts[int(rng.integers(len(hosts)))]


def _saddle(tree: Tree, length_mm: float) -> Path:
    """Ride on the bifurcation of the trunk, from the right main artery to the left."""
    right, left = (cut(*_main(tree, side), length_mm / 2) for side in ("right", "left"))
    return np.concatenate([right[0][::-1], left[0][1:]]), right[1][::-1] + left[1][1:]


def _main(tree: Tree, side: str) -> Path:
    index = next(i for i, branch in enumerate(tree.branches) if _is_main(branch, side))
    points = dense(tree.branches[index].points)
    return points, [index] * len(points)


def _is_main(branch: Branch, side: str) -> bool:
    return branch.level == "main" and branch.side == side
