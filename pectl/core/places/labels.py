"""Labels of images and of the study from what is marked."""

import numpy as np
from numpy.typing import NDArray

from pectl.core.labels.names import INDETERMINATE, NEGATIVE, PE_LABELS, STUDY_LABELS, UNKNOWN
from pectl.core.places.emboli import Numbers

_ROUNDING = 1e-9


def image_labels(numbers: Numbers, *, pixel_mm2: float, min_area_mm2: float, complete: bool) -> NDArray[np.int8]:
    """Return PE on each image, (n,): 1 where at least so much is marked, 0 where nothing is, and unknown in between.

    Args:
        numbers: (n, rows, columns).
        pixel_mm2: area of a pixel.
        min_area_mm2: see `places.min_area_mm2`.
        complete: whether an image on which nothing is marked is known to have no PE.
    """
    area = np.count_nonzero(numbers, axis=(1, 2)) * pixel_mm2
    nothing = 0 if complete else UNKNOWN
    labels = np.where(area == 0, nothing, UNKNOWN)
    return np.where(area >= min_area_mm2 * (1 - _ROUNDING), 1, labels).astype(np.int8)


def exam_labels(images: NDArray[np.int8]) -> dict[str, int | None]:
    """Return the labels of a study whose images have these, (n,): with PE, without, or unknown.

    Side, place, age and RV/LV of emboli are unknown; a study without PE has none on any side.
    """
    if (images == 1).any():
        return dict.fromkeys(STUDY_LABELS) | {NEGATIVE: 0, INDETERMINATE: 0}
    if (images == 0).all():
        return dict.fromkeys(STUDY_LABELS) | dict.fromkeys(PE_LABELS, 0) | {NEGATIVE: 1, INDETERMINATE: 0}
    return dict.fromkeys(STUDY_LABELS)
