"""Emboli of the sizes that patients have: a volume is drawn first, then the stretch of artery that holds it."""

import numpy as np
from scipy.special import ndtri

from pectl.config import PhantomConfig
from pectl.phantom.body.vessels import Tree
from pectl.phantom.emboli import EMBOLUS_HU, Embolus, Kind
from pectl.phantom.grid import Points
from pectl.phantom.paths import Path, across, dense

_THICKNESS_MM, _THICKNESS_POWER, _THICKNESS_SPREAD = 1.04, 0.27, 0.15
"""Thickest place of a clot of v mm3: 1.04 v^0.27 mm, and the deviation of its logarithm.

A fit to the 91 clots in the masks of 33 patients of FUMPE (Masoudi et al. 2018, 10.1038/sdata.2018.180) gives 0.95 mm;
masks of phantoms come out thinner than what is painted, by the rest.
"""
_TAIL = 1.6449
"""Deviations from the median of a normal distribution to its 95th percentile."""
_WIDER = 1.6
"""An embolus begins in an artery at most so many times as wide as it needs, if there is one."""
_HOSTS = 12
"""So many arteries are tried for one whose way downstream is long enough."""
_NARROWER = 0.5
"""It ends where an artery has less than this share of the width that it needs."""


def draw_count(rng: np.random.Generator, config: PhantomConfig) -> int:
    """Draw the number of a study's emboli; few are more frequent than many."""
    counts, shares = _counts(config)
    return int(rng.choice(counts, p=shares))


def draw_volumes(
    rng: np.random.Generator, low_high_mm3: tuple[float, float], config: PhantomConfig, count: int, *, central: bool
) -> list[float]:
    """Draw the volumes in mm3 of a study's emboli, the first of them large if it is to be central.

    Over all studies they follow one log-normal distribution with this 5th and 95th percentile. The first is the
    larger of two draws from it, and those of central studies are the upper end of these; the others make up for it.
    """
    counts, shares = _counts(config)
    mean = float(counts @ shares)
    central_from = 1.0 - config.central_share
    first = np.sqrt(rng.uniform(*((central_from, 1.0) if central else (0.0, central_from))))
    others = (mean - np.sqrt(mean**2 - 4.0 * (mean - 1.0) * rng.uniform(0.0, 1.0, count - 1))) / 2.0
    low, high = np.log(low_high_mm3)
    places = np.concatenate([[first], others])
    volumes = np.exp((low + high) / 2 + (high - low) / 2 * ndtri(places) / ndtri(0.95))
    return [float(volume) for volume in volumes]


def _counts(config: PhantomConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of emboli that occur, and how often: log-uniform."""
    counts = np.arange(config.emboli[0], config.emboli[1] + 1)
    shares = np.log1p(1.0 / counts)
    return counts, shares / shares.sum()


def draw_sized(rng: np.random.Generator, tree: Tree, kind: Kind, volume_mm3: float, config: PhantomConfig) -> Embolus:
    """Draw an embolus of a volume: as thick as such clots are, and as long as it then has to be."""
    share = rng.uniform(*config.lumen_share)
    thickness = _THICKNESS_MM * volume_mm3**_THICKNESS_POWER * np.exp(_THICKNESS_SPREAD * rng.standard_normal())
    radius = float(thickness / 2.0 / np.sqrt(share))
    points, owners = _stretch(rng, tree, radius, volume_mm3 / share)
    lumen = np.array([tree.branches[owner].radius_mm for owner in owners])
    return Embolus(
        kind=kind,
        path=points,
        radii_mm=np.minimum(np.minimum(lumen[:-1], lumen[1:]), radius),
        branches=tuple(dict.fromkeys(owners)),
        share=share,
        lean=across(rng, points[-1] - points[0]),
        hu=rng.uniform(*EMBOLUS_HU),
    )


def _stretch(rng: np.random.Generator, tree: Tree, radius_mm: float, lumen_mm3: float) -> Path:
    """Follow arteries downstream, and if need be towards the heart and past it, until they hold the volume."""
    wanted = max(lumen_mm3 - 4.0 / 3.0 * np.pi * radius_mm**3, 0.2 * lumen_mm3)  # its ends are round
    host, (points, owners) = _draw_course(rng, tree, radius_mm, wanted)
    held = _held(tree, (points, owners), radius_mm)
    last = int(np.searchsorted(held, held[-1] - wanted, side="right"))  # starts that leave room enough
    start = int(rng.integers(0, max(last, 1)))
    down = _cut(tree, (points[start:], owners[start:]), radius_mm, wanted)
    missing = wanted - (held[-1] - held[start])
    if missing <= 0.0:
        return down
    nearer, theirs = _line(tree, _upstream(tree, host), backwards=True)
    beyond, others = _line(tree, _across(rng, tree, host, radius_mm))
    up = np.concatenate([points[start : start + 1], nearer, beyond]), owners[start : start + 1] + theirs + others
    up = _cut(tree, up, radius_mm, missing)
    return np.concatenate([up[0][:0:-1], down[0]]), up[1][:0:-1] + down[1]


def _draw_course(rng: np.random.Generator, tree: Tree, radius_mm: float, wanted_mm3: float) -> tuple[int, Path]:
    """Draw the artery that an embolus begins in, and its way downstream: wide enough and, if any is, long enough."""
    radii = np.array([branch.radius_mm for branch in tree.branches[1:]])  # not the trunk
    least = min(radius_mm, float(radii.max()))
    fits = (radii >= least) & (radii <= max(_WIDER * radius_mm, least))
    hosts = 1 + np.flatnonzero(fits if fits.any() else radii >= least)
    found: list[tuple[float, int, Path]] = []
    for host in rng.permutation(hosts)[:_HOSTS].tolist():
        course = _line(tree, [host, *_downstream(rng, tree, host, radius_mm)])
        found.append((float(_held(tree, course, radius_mm)[-1]), host, course))
        if found[-1][0] >= wanted_mm3:
            break
    _, host, course = max(found, key=lambda one: one[0])
    return host, course


def _downstream(rng: np.random.Generator, tree: Tree, index: int, radius_mm: float) -> list[int]:
    """Return the arteries that blood reaches next, the wider one at most branchings."""
    found: list[int] = []
    while children := tree.children(index):
        index = max(children, key=lambda child: tree.branches[child].radius_mm * rng.uniform(0.8, 1.0))
        if tree.branches[index].radius_mm < _NARROWER * radius_mm:
            break
        found.append(index)
    return found


def _upstream(tree: Tree, index: int) -> list[int]:
    """Return the arteries up to the main one."""
    found: list[int] = []
    while tree.branches[index].level != "main":
        index = tree.branches[index].parent
        found.append(index)
    return found


def _across(rng: np.random.Generator, tree: Tree, index: int, radius_mm: float) -> list[int]:
    """Return the other main artery and what follows it: an embolus that gets there rides on the bifurcation."""
    side = tree.branches[index].side
    other = next(i for i, branch in enumerate(tree.branches) if branch.level == "main" and branch.side != side)
    return [other, *_downstream(rng, tree, other, radius_mm)]


def _line(tree: Tree, indices: list[int], *, backwards: bool = False) -> Path:
    """Join the courses of arteries, each in the direction of its blood or against it."""
    points, owners = [np.empty((0, 3))], list[int]()
    for index in indices:
        course = dense(tree.branches[index].points)
        points.append(course[::-1] if backwards else course)
        owners += [index] * len(course)
    return np.concatenate(points), owners


def _held(tree: Tree, path: Path, radius_mm: float) -> Points:
    """Return what lumens of at most this radius hold in mm3 up to each point of a path, (n,)."""
    points, owners = path
    radii = np.array([min(tree.branches[owner].radius_mm, radius_mm) for owner in owners])
    pieces = np.linalg.norm(np.diff(points, axis=0), axis=1) * np.pi * np.minimum(radii[:-1], radii[1:]) ** 2
    return np.concatenate([[0.0], np.cumsum(pieces)])


def _cut(tree: Tree, path: Path, radius_mm: float, volume_mm3: float) -> Path:
    """End a path where its lumens hold the volume, or where it ends itself."""
    points, owners = path
    held = _held(tree, path, radius_mm)
    last = int(np.searchsorted(held, volume_mm3))
    if last >= len(points):
        return path
    part = (volume_mm3 - held[last - 1]) / (held[last] - held[last - 1])
    end = points[last - 1] + part * (points[last] - points[last - 1])
    return np.concatenate([points[:last], end[None]]), owners[: last + 1]
