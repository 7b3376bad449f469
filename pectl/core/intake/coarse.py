"""A coarse copy of a volume, and the body in it: enough to find organs of centimetres, in a tenth of a second."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pectl.core.intake.volume import Volume

COARSE_MM = 4.0
"""Voxel of the coarse grid: lungs and their surroundings are centimetres."""

_BODY_HU = -500  # half way from lung to soft tissue: a thin chest wall that motion blurs still closes
_ROOM_AIR_HU = -900


@dataclass(frozen=True)
class Coarse:
    """A coarse copy of a volume.

    `slices` are the source slices it took, `zoom` the source pixels in one voxel along (H, W).
    """

    hu: NDArray[np.int16]
    slices: NDArray[np.intp]
    zoom: tuple[float, float]
    spacing_mm: tuple[float, float, float]


def coarsen(volume: Volume) -> Coarse:
    """Take every n-th slice and average pixels in plane, to about 4 mm."""
    _, height, width = volume.hu.shape
    dy, dx = volume.stack.pixel_spacing_mm
    stride = max(1, round(COARSE_MM / volume.stack.step_mm))
    slices = np.arange(stride // 2, len(volume.hu), stride)
    size = (max(8, round(width * dx / COARSE_MM)), max(8, round(height * dy / COARSE_MM)))  # cv2: (W, H)
    hu = np.stack([cv2.resize(volume.hu[i], size, interpolation=cv2.INTER_AREA) for i in slices])
    zoom = height / size[1], width / size[0]
    return Coarse(hu, slices, zoom, (stride * volume.stack.step_mm, dy * zoom[0], dx * zoom[1]))


def body_mask(hu: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Return the body as a solid: its largest connected part, the holes of each slice filled.

    Where a slice's edge shows tissue and lung instead of room air, the field of view ends inside the body,
    and the edge closes it.
    """
    tissue = _largest(hu > _BODY_HU)
    return np.stack(
        [ndimage.binary_fill_holes(_closed(plane, values)) for plane, values in zip(tissue, hu, strict=True)]
    )


def _closed(tissue: NDArray[np.bool_], hu: NDArray[np.int16]) -> NDArray[np.bool_]:
    return tissue | _edge(hu) if edge_in_body(hu) else tissue


def edge_in_body(hu: NDArray[np.int16]) -> bool:
    """Tell whether the edge of a slice (H, W) shows the body rather than room air."""
    return bool((hu[_edge(hu)] > _ROOM_AIR_HU).mean() > 0.5)


def _edge(hu: NDArray[np.int16]) -> NDArray[np.bool_]:
    edge = np.ones(hu.shape, bool)
    edge[1:-1, 1:-1] = False
    return edge


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept: NDArray[np.bool_] = parts == sizes.argmax()
    return kept
