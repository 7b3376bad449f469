"""Heat painted over CT."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

PE_LEVEL_HU, PE_WIDTH_HU = 100.0, 700.0
SMALLEST_SHARE = 0.08
"""Heat below this share of full heat isn't painted: the CT stays readable."""
_HEAT_COLOURS = LinearSegmentedColormap.from_list("heat", ["#b2182b", "#e8601c", "#f6c141", "#fff7bc"])

Array = NDArray[np.float32]


def ct_grey(hu: NDArray[np.generic]) -> Array:
    """Map HU to grey in [0, 1] in the PE range, level 100 and width 700."""
    low = PE_LEVEL_HU - PE_WIDTH_HU / 2
    return np.asarray(np.clip((hu.astype(np.float32) - low) / PE_WIDTH_HU, 0, 1), np.float32)


def paint(grey: Array, heat: Array, *, opacity: float = 0.65) -> Array:
    """Paint heat over grey, the hotter the denser.

    Args:
        grey: (rows, columns) in [0, 1].
        heat: (rows, columns) in [0, 1], 1 is full heat.
        opacity: of the hottest.

    Returns:
        (rows, columns, 3) in [0, 1].
    """
    colour = np.asarray(_HEAT_COLOURS(heat)[..., :3], np.float32)
    alpha = opacity * np.clip((heat - SMALLEST_SHARE) / (0.6 - SMALLEST_SHARE), 0, 1)[..., None]
    return np.asarray(grey[..., None] * (1 - alpha) + colour * alpha, np.float32)
