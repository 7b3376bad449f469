"""A study as an animated GIF, from feet to head: it plays in slides and messages, where a page can't be opened."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pectl.core.storage.files import atomic_path
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.core.stores.study_store import Study
from pectl.explanation.explainer import Explanation
from pectl.explanation.painting import ct_grey, paint

_MOST_FRAMES = 80
_SIDE_PX = 320
_CAPTION_PX = 30
_FRAME_MS = 90
_SAMPLED = 3
_GREYS, _ALIKE = 64, 4


def write_animation(path: Path, explanation: Explanation, study: Study) -> None:
    """Write slices with heat as an endless GIF; of long studies evenly spread slices, the peak's among them."""
    heat = explanation.heat
    drawn = [_frame(study, heat[index], explanation.scale_name, index) for index in _chosen(explanation, len(study.hu))]
    palette = _palette(drawn)
    first, *others = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in drawn)
    animated = {"save_all": True, "append_images": others, "duration": _FRAME_MS, "loop": 0}
    with atomic_path(path) as temporary:
        first.save(temporary, format="GIF", optimize=False, **animated)


def _palette(frames: list[Image.Image]) -> Image.Image:
    """Return an image with the colours of all frames: even greys, and those of the heat in one pixel of 9.

    A palette for each frame would take twice as long. Colours count, not pixels: the hottest places are bright and
    small, and would get the colour of duller ones.
    """
    sample = np.concatenate([np.asarray(frame)[::_SAMPLED, ::_SAMPLED].reshape(-1, 3) for frame in frames])
    heat = _distinct(sample[sample[:, 0] != sample[:, 2]] // _ALIKE) * np.uint8(_ALIKE)
    colours = np.repeat(np.linspace(0, 255, _GREYS).astype(np.uint8)[:, None], 3, axis=1)
    if len(heat):
        rest = 256 - _GREYS
        chosen = Image.fromarray(heat[None]).quantize(rest, method=Image.Quantize.MEDIANCUT, kmeans=1)
        colours = np.concatenate([colours, np.array(chosen.getpalette(), np.uint8).reshape(-1, 3)[:rest]])
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours.ravel().tolist())
    return palette


def _distinct(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the rows of (n, 3) that differ, by red, green and blue; sorting them would take longer than the rest."""
    levels = 256 // _ALIKE
    there = np.zeros((levels, levels, levels), bool)
    there[tuple(colours.T)] = True
    return np.argwhere(there).astype(np.uint8)


def _chosen(explanation: Explanation, n_slices: int) -> list[int]:
    evenly = np.unique(np.linspace(0, n_slices - 1, min(n_slices, _MOST_FRAMES)).round().astype(int)).tolist()
    peak = [] if explanation.peak is None else [explanation.peak.grid_index[0]]
    return sorted({*evenly, *peak})


def _frame(study: Study, heat: NDArray[np.float32], scale: str, index: int) -> Image.Image:
    colour = (paint(ct_grey(study.hu[index]), np.minimum(heat, 1)) * 255).astype(np.uint8)
    large = cv2.resize(colour, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_LINEAR)
    frame = Image.new("RGB", (_SIDE_PX, _SIDE_PX + _CAPTION_PX))
    frame.paste(Image.fromarray(large))
    pen = ImageDraw.Draw(frame)
    text = f"slice {index + 1} of {len(study.hu)}, heat {heat.max():.0%} of {scale}\n{RESEARCH_USE}"
    pen.multiline_text((6, _SIDE_PX + 3), text, fill=(255, 255, 255), spacing=2)
    pen.text((6, 4), "R", fill=(255, 255, 255))
    pen.text((_SIDE_PX - 12, 4), "L", fill=(255, 255, 255))
    return frame
