"""What the scanner makes of the true HU: blur of the kernel and of motion, noise, quantisation."""

import numpy as np
from scipy import ndimage

from pectl.phantom.grid import Array

KERNELS = {
    "STANDARD": (0.75, 1.0),
    "B30f": (0.8, 0.95),
    "B31f": (0.75, 1.0),
    "LUNG": (0.35, 1.7),
    "FC08": (0.7, 1.0),
}
"""ConvolutionKernel: blur in mm, factor on the noise."""


def scan(
    hu: Array, *, kernel: str, noise_hu: float, pixel_mm: float, rngs: list[np.random.Generator]
) -> Array:
    """Blur each slice as its kernel does and add noise of the same grain, (d, H, W)."""
    blur_mm, loudness = KERNELS[kernel]
    sigma = blur_mm / pixel_mm
    result = ndimage.gaussian_filter(hu, (0.0, sigma, sigma), truncate=3.0)
    grain = max(0.45, 0.9 * sigma)
    for image, rng in zip(result, rngs, strict=True):
        noise = ndimage.gaussian_filter(
            rng.standard_normal(image.shape, dtype=np.float32), grain, truncate=3.0
        )
        image += noise * (noise_hu * loudness / max(float(noise.std()), 1e-6))
    return result
