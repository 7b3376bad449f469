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
from pectl.report.explanation.figures import relative_heat

_MOST_FRAMES = 80
_SIDE_PX = 320
_CAPTION_PX = 30
_FRAME_MS = 90


def write_animation(path: Path, explanation: Explanation, study: Study) -> None:
    """Write slices with heat as an endless GIF; of long studies evenly spread slices, the peak's among them."""
    heat = relative_heat(explanation)
    frames = [_frame(study, heat[index], index) for index in _chosen(explanation, len(study.hu))]
    with atomic_path(path) as temporary:
        frames[0].save(temporary, format="GIF", save_all=True, append_images=frames[1:], duration=_FRAME_MS, loop=0)


def _chosen(explanation: Explanation, n_slices: int) -> list[int]:
    evenly = np.unique(np.linspace(0, n_slices - 1, min(n_slices, _MOST_FRAMES)).round().astype(int)).tolist()
    peak = [] if explanation.peak is None else [explanation.peak.grid_index[0]]
    return sorted({*evenly, *peak})


def _frame(study: Study, heat: NDArray[np.float32], index: int) -> Image.Image:
    colour = (paint(ct_grey(study.hu[index]), heat) * 255).astype(np.uint8)
    large = cv2.resize(colour, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_LINEAR)
    frame = Image.new("RGB", (_SIDE_PX, _SIDE_PX + _CAPTION_PX))
    frame.paste(Image.fromarray(large))
    pen = ImageDraw.Draw(frame)
    text = f"slice {index + 1} of {len(study.hu)}, heat {heat.max():.0%} of the peak\n{RESEARCH_USE}"
    pen.multiline_text((6, _SIDE_PX + 3), text, fill=(255, 255, 255), spacing=2)
    pen.text((6, 4), "R", fill=(255, 255, 255))
    pen.text((_SIDE_PX - 12, 4), "L", fill=(255, 255, 255))
    return frame.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
