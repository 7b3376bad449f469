"""Contrast medium brought to one brightness: what shows a clot is its difference from the blood around it.

Injections, hearts and tube voltages differ, so that arteries of one scan have 200 HU and those of another 450. HU above
those of unenhanced soft tissue are scaled by a factor of the study; lung, fat, muscle and clots keep theirs.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pectl.config import WindowsConfig

UNENHANCED_HU = 80.0
"""What holds no contrast medium lies below, but bone and calcium: blood, clots, muscle and organs have 20 to 80 HU."""
GAINS = (0.25, 4.0)
"""Least and largest factor: noise grows with it."""


def contrast_gain(vessel_hu: ArrayLike, windows: WindowsConfig) -> NDArray[np.float32]:
    """Return the factors that bring the great vessels of studies to `windows.vessels_to_hu`.

    Args:
        vessel_hu: HU of each study's great vessels; NaN where they aren't shown, which gives 1.
        windows: factors are 1 where its `vessels_to_hu` is 0.

    Example:
        >>> contrast_gain([240.0, 400.0, 50.0, float("nan")], WindowsConfig(vessels_to_hu=400.0)).tolist()
        [2.0, 1.0, 4.0, 1.0]
    """
    found = np.asarray(vessel_hu, np.float32)
    if not windows.vessels_to_hu:
        return np.ones_like(found)
    above = np.maximum(found - UNENHANCED_HU, 1.0)
    gain = np.clip((windows.vessels_to_hu - UNENHANCED_HU) / above, *GAINS)
    return np.where(np.isnan(found), 1.0, gain).astype(np.float32)


def scale_contrast(hu: Tensor, gain: Tensor) -> Tensor:
    """Scale what lies above unenhanced tissue in (B, T, H, W) float HU by a factor of each window, (B,), in place."""
    return hu.add_(hu.sub(UNENHANCED_HU).relu_() * for_each(gain - 1, hu))


def for_each(values: Tensor, like: Tensor) -> Tensor:
    """Lay (B,) numbers of windows along (B, T, S, S), on the device of these."""
    return values.to(like.device).view(-1, 1, 1, 1)
