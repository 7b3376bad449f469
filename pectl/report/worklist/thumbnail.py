"""A study's hottest slice as a small picture."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HU_RANGE = (-250.0, 450.0)
"""Level 100, width 700: contrast and clots."""
SIDE_PX = 128
_QUALITY = 80


def draw_thumbnail(hu: NDArray[np.int16]) -> bytes:
    """Return a slice (S, S) as JPEG, the patient's right on the left."""
    low, high = HU_RANGE
    grey = np.clip((hu.astype(np.float32) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(grey).resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX).save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()
