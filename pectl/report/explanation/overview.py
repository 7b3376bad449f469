"""A study as a whole, along the body: slabs with heat, window scores, labels and attention on one axis."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pectl.core.labels.names import EXAM_LABELS, UNKNOWN
from pectl.core.statistics.logistic import sigmoid
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.core.stores.study_store import Study
from pectl.explanation.explainer import Explanation
from pectl.explanation.painting import ct_grey, paint
from pectl.report.explanation.figures import DPI, bare_figure, mark_sides
from pectl.report.style import BLUE, INK, MUTED, ORANGE, VERMILLION, report_style, save_file
from pectl.report.text import LABEL_TITLES, label_title

_SLAB_MM = 15.0
_LABEL_COLOURS = {1: VERMILLION, 0: "#e5e7eb", UNKNOWN: "#ffffff"}
_LARGEST_BODY_INCHES, _LARGEST_WIDTH_INCHES = 4.2, 4.2
_EVEN_SHADE = 0.4
"""Attention that is even over the windows gets this shade, or less: only what stands out is dark."""
_LEFT, _BOTTOM, _TOP, _GAP = 0.75, 1.35, 0.75, 0.16


def draw_overview(path: Path, explanation: Explanation, study: Study) -> None:
    """Draw coronal and sagittal slabs with heat, window scores, slice labels and attention along the body."""
    _, dy, dx = study.spacing_mm
    height, width = study.hu.shape[1:]
    body_mm = abs(float(study.slice_position_mm[-1] - study.slice_position_mm[0])) + study.spacing_mm[0]
    per_mm = min(_LARGEST_BODY_INCHES / body_mm, _LARGEST_WIDTH_INCHES / (width * dx))
    widths = [width * dx * per_mm, height * dy * per_mm, 0.14, 1.4, 1.1, 2.6]
    with report_style():
        figure = bare_figure(_LEFT + sum(widths) + _GAP * (len(widths) - 1) + 0.2, _BOTTOM + body_mm * per_mm + _TOP)
        coronal, sagittal, labels, scores, heats, attention = _columns(figure, widths, study)
        _draw_slabs(coronal, sagittal, explanation, study)
        _draw_labels(labels, study)
        _draw_scores(scores, explanation, study)
        _draw_slice_heat(heats, explanation, study)
        _draw_attention(attention, explanation, study)
        coronal.tick_params(labelleft=True)
        coronal.set_ylabel("position along the body (mm), feet to head")
        _draw_header(figure, explanation)
        save_file(figure, path, dpi=DPI)


def _draw_header(figure: Figure, explanation: Explanation) -> None:
    inch = 1 / figure.get_figheight()
    title = f"What spoke for “{label_title(explanation.label)}”"
    left = _LEFT / figure.get_figwidth()
    figure.text(left, 1 - 0.2 * inch, title, fontsize=13, fontweight="bold", va="center")
    about = f"study {explanation.uid}; {explanation.method} through both stages; {RESEARCH_USE}"
    figure.text(left, 0.34 * inch, f"Heat: {explanation.scale_meaning}.", fontsize=8.5, color=MUTED)
    figure.text(left, 0.16 * inch, about, fontsize=8.5, color=MUTED)


def _columns(figure: Figure, widths: list[float], study: Study) -> list[Axes]:
    """Return axes side by side that share the body axis; widths in inches keep millimetres square."""
    total_width, total_height = figure.get_size_inches()
    axes, left, (low, high) = [], _LEFT, _body_range(study)
    height = total_height - _BOTTOM - _TOP
    for width in widths:
        box = (left / total_width, _BOTTOM / total_height, width / total_width, height / total_height)
        axis = figure.add_axes(box)
        axis.set_ylim(low, high)
        axis.tick_params(labelleft=False, left=False)
        axis.grid(visible=False)
        axes.append(axis)
        left += width + _GAP
    return axes


def _body_range(study: Study) -> tuple[float, float]:
    half = study.spacing_mm[0] / 2
    return float(study.slice_position_mm[0]) - half, float(study.slice_position_mm[-1]) + half


def _draw_slabs(coronal: Axes, sagittal: Axes, explanation: Explanation, study: Study) -> None:
    peak = explanation.peak
    _, h, w = peak.grid_index if peak else (0, study.hu.shape[1] // 2, study.hu.shape[2] // 2)
    heat = explanation.shown
    low, high = _body_range(study)
    for axis, along, centre, step, title, sides in (
        (coronal, 1, h, study.spacing_mm[1], "Coronal", ("R", "L")),
        (sagittal, 2, w, study.spacing_mm[2], "Sagittal", ("A", "P")),
    ):
        half = max(1, round(_SLAB_MM / 2 / step))
        slab = np.arange(max(0, centre - half), min(study.hu.shape[along], centre + half + 1))
        grey = ct_grey(study.hu.take(slab, axis=along).mean(axis=along))  # (D, H or W)
        image = paint(grey, heat.max(axis=along))
        across = study.hu.shape[3 - along] * study.spacing_mm[3 - along]
        axis.imshow(image, origin="lower", aspect="auto", extent=(0, across, low, high), interpolation="bilinear")
        axis.set_xticks([])
        axis.set_title(title)
        mark_sides(axis, *sides)


def _draw_labels(axis: Axes, study: Study) -> None:
    """Draw what is known of each slice: PE, none, unknown (white)."""
    bar = [[to_rgb(_LABEL_COLOURS[int(label)])] for label in study.slice_label]
    axis.imshow(bar, origin="lower", aspect="auto", extent=(0, 1, *_body_range(study)), interpolation="nearest")
    known = bool((study.slice_label != UNKNOWN).any())
    axis.set_xticks([0.5], ["slices with PE (labels)" if known else "labels unknown"], rotation=35, ha="right")
    axis.set_xlim(0, 1)


def _draw_scores(axis: Axes, explanation: Explanation, study: Study) -> None:
    first = explanation.window_start
    centre = (study.slice_position_mm[first] + study.slice_position_mm[first + explanation.length - 1]) / 2
    for logit, colour, name in (
        (explanation.window_logit, ORANGE, "stage 1"),
        (explanation.refined_logit, BLUE, "in context"),
    ):
        axis.plot(sigmoid(logit.astype(np.float64)), centre, "o-", color=colour, lw=1.4, ms=3.5, label=name)
    axis.set_xlim(-0.04, 1.04)
    axis.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    axis.grid(visible=True, axis="x")
    axis.set_title("Windows")
    axis.set_xlabel("PE score")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), fontsize=8, handlelength=1.2)


def _draw_slice_heat(axis: Axes, explanation: Explanation, study: Study) -> None:
    share = np.minimum(explanation.slice_heat, 1)
    axis.fill_betweenx(study.slice_position_mm, 0, share, color="#e8601c", alpha=0.85, lw=0)
    if explanation.peak is not None:
        position = study.slice_position_mm[explanation.peak.grid_index[0]]
        axis.axhline(position, color=INK, lw=0.9, ls=(0, (4, 3)))
    axis.set_xlim(0, 1.04)
    axis.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    axis.set_title("Slices")
    axis.set_xlabel("heat")


def _draw_attention(axis: Axes, explanation: Explanation, study: Study) -> None:
    """Draw the attention of each label as a column, by its maximum."""
    by_slice = slice_attention(explanation, len(study.hu))  # (9, D)
    even = 1 / explanation.attention.shape[1]
    shade = by_slice / np.maximum(by_slice.max(axis=1, keepdims=True), even / _EVEN_SHADE)
    low, high = _body_range(study)
    extent = (0, len(EXAM_LABELS), low, high)
    axis.imshow(
        shade.T,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap="Blues",
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    places = [k + 0.5 for k in range(len(EXAM_LABELS))]
    axis.set_xticks(places, [LABEL_TITLES[name] for name in EXAM_LABELS], rotation=35, ha="right", fontsize=8.5)
    for k in range(1, len(EXAM_LABELS)):
        axis.axvline(k, color="white", lw=1.5)
    axis.set_title("Attention")


def slice_attention(explanation: Explanation, n_slices: int) -> NDArray[np.float64]:
    """Return (9, D): the mean attention of the windows that cover each slice."""
    total, covered = np.zeros((len(explanation.attention), n_slices)), np.zeros(n_slices)
    for start, attention in zip(explanation.window_start, explanation.attention.T, strict=True):
        span = slice(int(start), int(start) + explanation.length)
        total[:, span] += attention[:, None]
        covered[span] += 1
    return total / covered
