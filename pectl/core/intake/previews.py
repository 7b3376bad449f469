"""A picture of one study with its lung box on three planes, small enough to skim thousands."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pectl.core.intake.lungs import Box
from pectl.core.intake.volume import Volume
from pectl.core.storage.files import atomic_path
from pectl.core.storage.stamp import RESEARCH_USE

Picture = NDArray[np.uint8]
"""(rows, columns, 3) blue, green, red, as OpenCV has them."""

_HEIGHT_PX, _GAP_PX, _FOOT_PX = 256, 6, 18
_HU_RANGE = (-1150.0, 350.0)
"""Shows both what the lungs hold and where they end."""
_OUTSIDE = 0.55
"""How much of its brightness the outside of the box keeps."""
_BOX_COLOUR = (0, 159, 230)  # orange of Okabe and Ito, as blue, green, red
_INK = (200, 200, 200)
_SAGITTAL = 0.3
"""Where the sagittal plane cuts the box: through the right lung, off the spine."""
_QUALITY = 85


def write_preview(path: Path, volume: Volume, box: Box) -> None:
    """Write a JPEG of axial, coronal and sagittal planes through the box, all at one scale.

    Raises:
        StoreError: the disk is full or the folder can't be written.
    """
    _, data = cv2.imencode(".jpg", draw_preview(volume, box), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


def draw_preview(volume: Volume, box: Box) -> Picture:
    """Draw the three planes side by side; outside the box they are dimmed."""
    planes = list(_planes(volume, box))
    scale = _HEIGHT_PX / max(plane.shape[0] * step[0] for plane, step, _ in planes)  # px per mm
    panels = [_panel(plane, step, edges, scale) for plane, step, edges in planes]
    width = sum(panel.shape[1] for panel in panels) + _GAP_PX * (len(panels) - 1)
    picture = np.zeros((_HEIGHT_PX + _FOOT_PX, width, 3), np.uint8)
    left = 0
    for panel, ends in zip(panels, (("R", "L"), ("R", "L"), ("A", "P")), strict=True):
        top = (_HEIGHT_PX - panel.shape[0]) // 2
        picture[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
        _letters(picture, left, panel.shape[1], ends)
        left += panel.shape[1] + _GAP_PX
    _write(picture, RESEARCH_USE, (4, _HEIGHT_PX + 13))
    return picture


Edges = tuple[tuple[int, int], tuple[int, int]]


def _planes(volume: Volume, box: Box) -> Iterator[tuple[NDArray[np.int16], tuple[float, float], Edges]]:
    """Yield planes as seen (head up, patient's right or front on the left), their steps in mm, the box in them."""
    dz, (dy, dx) = volume.stack.step_mm, volume.stack.pixel_spacing_mm
    depth = len(volume.hu)
    upside = depth - box.d[1], depth - box.d[0]
    d, h = sum(box.d) // 2, sum(box.h) // 2
    w = int(box.w[0] + _SAGITTAL * (box.w[1] - box.w[0]))
    yield volume.hu[d], (dy, dx), (box.h, box.w)
    yield volume.hu[::-1, h], (dz, dx), (upside, box.w)
    yield volume.hu[::-1, :, w], (dz, dy), (upside, box.h)


def _panel(plane: NDArray[np.int16], step_mm: tuple[float, float], edges: Edges, scale: float) -> Picture:
    """Bring a plane to `scale` px per mm, dim it outside the box and outline that."""
    rows, columns = (max(1, round(size * step * scale)) for size, step in zip(plane.shape, step_mm, strict=True))
    small = cv2.resize(np.ascontiguousarray(plane), (columns, rows), interpolation=cv2.INTER_AREA)
    low, high = _HU_RANGE
    grey = np.clip((small.astype(np.float32) - low) / (high - low), 0.0, 1.0) * 255.0
    (top, bottom), (left, right) = (
        tuple(round(end * step * scale) for end in edge) for edge, step in zip(edges, step_mm, strict=True)
    )
    shown = _OUTSIDE * grey
    shown[top:bottom, left:right] = grey[top:bottom, left:right]
    panel = np.repeat(shown.astype(np.uint8)[..., None], 3, axis=2)
    cv2.rectangle(panel, (left, top), (min(right, columns) - 1, min(bottom, rows) - 1), _BOX_COLOUR, 1)
    return panel


def _letters(picture: Picture, left: int, width: int, ends: tuple[str, str]) -> None:
    """Say which side of the patient is where."""
    middle = _HEIGHT_PX // 2
    _write(picture, ends[0], (left + 3, middle))
    _write(picture, ends[1], (left + width - 13, middle))


def _write(picture: Picture, text: str, at: tuple[int, int]) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
