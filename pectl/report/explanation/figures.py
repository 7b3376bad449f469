"""Heat over the CT: how it is coloured, which slices are shown, and their pictures."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pectl.core.storage.files import atomic_path
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.core.stores.study_store import Study
from pectl.explanation.explainer import Explanation
from pectl.explanation.heat_geometry import nearest_source_slice
from pectl.explanation.painting import ct_grey, paint
from pectl.report.style import FONTS, INK, MUTED, PNG_LEVEL

HOT_SLICES = 4
HOT_APART_MM = 9.0
"""Hot slices shown lie at least so far apart: neighbours look alike."""
DPI = 130
_PREVIEW_PX = 320
_SLICE_PX, _MARGIN_PX = 580, 7
_PICTURE_PX, _LEFT_PX = (1170, 663), (2, 587)

Array = NDArray[np.float32]


def hot_slices(explanation: Explanation, study: Study) -> list[int]:
    """Return the grid slices to show, the hottest first; the middle slice where there is no heat."""
    apart = max(1, round(HOT_APART_MM / study.spacing_mm[0]))
    return explanation.hottest(HOT_SLICES, apart=apart) or [len(study.hu) // 2]


def slice_caption(explanation: Explanation, study: Study, index: int) -> str:
    """Say which slice of the grid and which original slice is shown, and what is known of it."""
    source = nearest_source_slice(study, index)
    share = float(explanation.slice_heat[index])
    label = {1: "labelled PE", 0: "labelled without PE"}.get(int(study.slice_label[index]), "label unknown")
    return (
        f"Slice {index + 1} of {len(study.hu)}, at {study.slice_position_mm[index]:.1f} mm; heat {share:.0%} "
        f"of {explanation.scale_name}; {label}. SOPInstanceUID {study.source.sop_instance_uid[source]}"
    )


def draw_slice(path: Path, explanation: Explanation, study: Study, index: int) -> None:
    """Draw one grid slice without and with heat, as radiologists view it: the patient's right on the left."""
    grey = ct_grey(study.hu[index])
    picture = Image.new("RGB", _PICTURE_PX, "white")
    pen = ImageDraw.Draw(picture)
    for left, image in zip(_LEFT_PX, (_grey_rgb(grey), paint(grey, explanation.shown[index])), strict=True):
        picture.paste(_enlarged(image), (left, _MARGIN_PX))
        for side, share in (("R", 0.03), ("L", 0.97)):
            at = (left + share * _SLICE_PX, _MARGIN_PX + 0.03 * _SLICE_PX)
            pen.text(at, side, fill="white", font=font(10), anchor="mt")
    middle = (_MARGIN_PX + _SLICE_PX + _PICTURE_PX[1]) / 2
    caption = _in_two_lines(slice_caption(explanation, study, index)) + f"\nHeat: {explanation.scale_meaning}."
    pen.multiline_text((9, middle), caption, fill=INK, font=font(8), anchor="lm", spacing=5)
    pen.text((_PICTURE_PX[0] - 9, middle), RESEARCH_USE, fill=MUTED, font=font(8), anchor="rm")
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=PNG_LEVEL)


def _enlarged(image: Array) -> Image.Image:
    """Return a slice (S, S, 3) in [0, 1] at the size of the pictures."""
    small = Image.fromarray((image * 255).round().astype(np.uint8))
    return small.resize((_SLICE_PX, _SLICE_PX), Image.Resampling.BICUBIC)


@cache
def font(points: float) -> ImageFont.FreeTypeFont:
    """Return the font of the figures at a size, as they have it at DPI dots per inch."""
    found = findfont(FontProperties(family=FONTS))
    return ImageFont.truetype(found, points * DPI / 72)


def write_preview(path: Path, explanation: Explanation, study: Study, index: int) -> None:
    """Write a grid slice with heat as a small JPEG, for tables of many studies."""
    colour = paint(ct_grey(study.hu[index]), explanation.shown[index])
    small = cv2.resize(colour[..., ::-1] * 255, (_PREVIEW_PX, _PREVIEW_PX), interpolation=cv2.INTER_LINEAR)
    data = cv2.imencode(".jpg", small.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _grey_rgb(grey: Array) -> Array:
    return np.repeat(grey[..., None], 3, axis=-1)


def mark_sides(axis: Axes, left: str, right: str) -> None:
    """Write what lies at the left and the right edge of an image."""
    for text, x in ((left, 0.03), (right, 0.97)):
        axis.text(x, 0.97, text, transform=axis.transAxes, color="white", fontsize=10, ha="center", va="top")


def _in_two_lines(caption: str) -> str:
    return caption.replace(". SOPInstanceUID", ".\nSOPInstanceUID")


def bare_figure(width: float, height: float) -> Figure:
    """Return a figure in inches without axes."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure
