"""What the scanner makes of the true HU: motion, blur of kernel and slice, streaks, noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pectl.config import PhantomConfig, PhantomKernel
from pectl.phantom.courses import SUPERIOR_CAVA
from pectl.phantom.grid import Array, Slab
from pectl.phantom.tubes import ball

HALO_SLICES = 2
"""Slices that a slab needs above and below for the blur along z."""

KERNELS: dict[PhantomKernel, tuple[float, float, float]] = {
    "STANDARD": (0.75, 1.0, 0.3),
    "B30f": (0.80, 0.95, 0.15),
    "B31f": (0.75, 1.0, 0.15),
    "I30f": (0.80, 0.7, 0.1),
    "FC08": (0.70, 1.0, 0.1),
    "B20f": (0.90, 0.8, 0.1),
    "LUNG": (0.35, 1.8, 0.05),
    "B60f": (0.40, 1.7, 0.05),
}
"""ConvolutionKernel: standard deviation of its blur in mm, factor on the noise, share of studies."""

_PROFILE = 0.3
"""Deviation of the slice profile as a share of the slice's thickness."""
_HEART_CENTRE_MM, _HEART_REACH_MM = np.array([12.0, -26.0, -72.0]), 62.0
_STREAK_REACH_MM, _STREAK_FALL_MM = 75.0, 28.0
_STREAK_RAYS = (5, 9, 14)
_BREATH_MM = 17.0
"""Distance of table travel in one cycle of motion."""


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """How one study was acquired."""

    kernel: PhantomKernel
    noise_hu: float
    thickness_to_step: float
    """Thickness of a slice over the step between slices."""
    pulsation_mm: float
    """Movement of the heart while a slice is taken."""
    motion_mm: float
    """Movement of the whole patient; 0 is a held breath."""
    streak_hu: float
    phase: float


def draw_scanner(rng: np.random.Generator, config: PhantomConfig, *, motion: bool) -> Scanner:
    """Draw a scanner and its protocol."""
    return Scanner(
        kernel=_draw_kernel(rng, config.kernels),
        noise_hu=rng.uniform(*config.noise_hu),
        thickness_to_step=float(rng.choice(config.thickness_to_step)),
        pulsation_mm=rng.uniform(*config.pulsation_mm),
        motion_mm=rng.uniform(6.0, 11.0) if motion else 0.0,
        streak_hu=rng.uniform(*config.streak_hu),
        phase=rng.uniform(0.0, 2.0 * np.pi),
    )


def _draw_kernel(rng: np.random.Generator, kernels: Sequence[PhantomKernel]) -> PhantomKernel:
    shares = np.array([KERNELS[name][2] for name in kernels])
    return kernels[int(rng.choice(len(kernels), p=shares / shares.sum()))]


def scan(hu: Array, slab: Slab, scanner: Scanner) -> Array:
    """Return the HU that the scanner measures, without noise, for a slab with its halo, (d, H, W)."""
    if scanner.motion_mm:
        hu = _move(hu, slab, scanner)
    _pulsate(hu, slab, scanner.pulsation_mm)
    _add_streaks(hu, slab, scanner)
    sigma = KERNELS[scanner.kernel][0] / slab.grid.spacing_mm[1]
    along_z = _gauss(_PROFILE * scanner.thickness_to_step)
    reach = min(len(along_z) // 2, HALO_SLICES)
    weights = along_z[len(along_z) // 2 - reach : len(along_z) // 2 + reach + 1]
    result = np.empty((len(hu) - 2 * HALO_SLICES, *hu.shape[1:]), dtype=np.float32)
    for index, image in enumerate(result, start=HALO_SLICES):
        mixed = _weighted(list(hu[index - reach : index + reach + 1]), weights / weights.sum())
        image[...] = _blur(_blur(mixed, sigma, axis=0), sigma, axis=1)
    return result


def add_noise(image: Array, rng: np.random.Generator, slab: Slab, scanner: Scanner, z: float) -> None:
    """Add noise of the kernel's grain to a slice (H, W), in place: more in the middle and the shoulders."""
    blur_mm, loudness, _ = KERNELS[scanner.kernel]
    grain = max(0.4, 0.9 * blur_mm / slab.grid.spacing_mm[1])
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    for axis in (0, 1):
        noise = _blur(noise, grain, axis)
    noise *= np.float32(scanner.noise_hu * loudness) / max(noise.std(), np.float32(1e-6))
    shoulders = min(max((z - 35.0) / 40.0, 0.0), 1.5)
    if shoulders > 0.0:
        image += _blur(noise, 9.0 / slab.grid.spacing_mm[2], axis=1) * np.float32(shoulders)
    down, across = (np.exp(-((slab.places_mm(axis) / 90.0) ** 2) / 2).astype(np.float32) for axis in (1, 2))
    noise *= 0.75 + 0.4 * down[:, None] * across
    image += noise


def _blur(image: Array, sigma: float, axis: int) -> Array:
    """Blur along an axis by a Gaussian of this deviation in pixels, mirrored at the edges; a short one is fast."""
    weights = _gauss(sigma)
    reach = len(weights) // 2
    blurred: Array = image * weights[reach]
    before, after = np.moveaxis(image, axis, 0), np.moveaxis(blurred, axis, 0)
    for step in range(1, reach + 1):
        part = before * weights[reach - step]
        after[step:] += part[:-step]
        after[:-step] += part[step:]
        after[:step] += part[:step][::-1]
        after[-step:] += part[-step:][::-1]
    return blurred


def _weighted(images: list[Array], weights: Array) -> Array:
    """Return the sum of images of one shape, an odd number of them, under symmetric weights."""
    middle = len(images) // 2
    total: Array = images[middle] * weights[middle]
    for offset in range(1, middle + 1):
        pair = images[middle - offset] + images[middle + offset]
        pair *= weights[middle - offset]
        total += pair
    return total


def _gauss(sigma: float) -> Array:
    """Return an odd number of weights of a Gaussian that ends at three deviations."""
    offsets = np.arange(-int(3.0 * sigma + 0.5), int(3.0 * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    result: Array = (weights / weights.sum()).astype(np.float32)
    return result


def _move(hu: Array, slab: Slab, scanner: Scanner) -> Array:
    """Superpose each slice at three moments of a movement to the front and the left."""
    moved = np.empty_like(hu)
    for index, z in enumerate(slab.z[:, 0, 0]):
        at = scanner.phase + 2.0 * np.pi * float(z) / _BREATH_MM
        shifts = scanner.motion_mm * np.sin(at + np.array([-0.9, 0.0, 0.9])) / slab.grid.spacing_mm[1]
        copies = [_shifted(_shifted(hu[index], -s, axis=0), 0.4 * s, axis=1) for s in shifts]
        moved[index] = np.mean(copies, axis=0)
    return moved


def _pulsate(hu: Array, slab: Slab, amplitude_mm: float) -> None:
    """Blur the heart and its surroundings along the direction of its beat, in place."""
    piece = ball(slab, _HEART_CENTRE_MM, _HEART_REACH_MM)
    if piece is None:
        return
    box, distance = piece
    step = amplitude_mm / slab.grid.spacing_mm[1] / np.sqrt(2.0)
    view = hu[box]
    moments = [_shifted(_shifted(view, way * step, axis=1), way * step, axis=2) for way in (-1.0, 1.0)]
    weight = np.clip(-distance / 15.0, 0.0, 1.0)
    view += weight * (0.5 * (moments[0] + moments[1]) - view)


def _shifted(image: Array, pixels: float, axis: int) -> Array:
    """Move an image along an axis, interpolated between its pixels; its edges go on outwards."""
    from_place = np.clip(np.arange(image.shape[axis]) - pixels, 0, image.shape[axis] - 1)
    lower = np.minimum(from_place.astype(int), image.shape[axis] - 2)
    part = (from_place - lower).astype(np.float32)
    part = part.reshape([-1 if place == axis else 1 for place in range(image.ndim)])
    low, high = image.take(lower, axis=axis), image.take(lower + 1, axis=axis)
    moved: Array = low + part * (high - low)
    return moved


def _add_streaks(hu: Array, slab: Slab, scanner: Scanner) -> None:
    """Add bright and dark rays around the dense contrast of the superior cava, in place."""
    course = np.array(SUPERIOR_CAVA)
    box = slab.box_around(course, _STREAK_REACH_MM)
    if box is None:
        return
    hu, slab = hu[box], slab.cut(box)
    for index, z in enumerate(slab.z[:, 0, 0]):
        if not course[-1, 2] < z < course[0, 2]:
            continue
        centre = [np.interp(-z, -course[:, 2], course[:, axis]) for axis in (0, 1)]
        x, y = slab.x[0] - np.float32(centre[0]), slab.y[0] - np.float32(centre[1])
        away, angle = np.hypot(x, y), np.arctan2(y, x)
        rays = sum(np.cos(n * angle + scanner.phase * n + 0.11 * n * z) for n in _STREAK_RAYS)
        fade = np.exp(-away / _STREAK_FALL_MM) * np.clip(away / 8.0, 0.0, 1.0) * (away < _STREAK_REACH_MM)
        hu[index] += np.where(hu[index] > -300.0, scanner.streak_hu * rays * fade, 0.0)
