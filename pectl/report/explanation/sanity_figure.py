"""The sanity check of heat as a command does it: cascades of some studies, a figure and JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pectl.core.storage.stamp import RESEARCH_USE
from pectl.core.stores.study_store import Study
from pectl.explanation.painting import ct_grey, paint
from pectl.explanation.sanity_check import Randomised
from pectl.explanation.sanity_summary import ALIKE
from pectl.report.explanation.figures import DPI, bare_figure
from pectl.report.style import BLUE, MUTED, ORANGE, report_style, save_file
from pectl.report.text import label_title

_PICTURE_INCHES = 1.55
_LIKENESS = (("rank_correlation", "rank correlation (Spearman)", BLUE, "o-"), ("ssim", "SSIM", ORANGE, "s--"))


def draw_sanity(path: Path, summary: Mapping[str, Any], study: Study, steps: Sequence[Randomised]) -> None:
    """Draw how alike heat stays, over a row of pictures of the slice where the trained model's heat peaks."""
    index = int(steps[0].heat.max(axis=(1, 2)).argmax())
    width, height = _PICTURE_INCHES * len(steps) + 1.0, 5.6
    with report_style():
        figure = bare_figure(width, height)
        left, each = 0.75 / width, _PICTURE_INCHES / width
        curves = figure.add_axes((left, 0.46, each * len(steps), 0.4))
        _draw_likeness(curves, summary)
        for k, step in enumerate(steps):
            axis = figure.add_axes(
                (left + each * k + 0.04 / width, 0.06, each - 0.08 / width, _PICTURE_INCHES / height)
            )
            axis.imshow(paint(ct_grey(study.hu[index]), step.heat[index]), interpolation="bicubic")
            axis.set_axis_off()
        _draw_texts(figure, summary, study, index)
        save_file(figure, path, dpi=DPI)


def _draw_likeness(axis: Axes, summary: Mapping[str, Any]) -> None:
    rows = summary["parts"]
    place = np.arange(len(rows))
    for name, title, colour, style in _LIKENESS:
        axis.plot(place, [row[name]["mean"] for row in rows], style, color=colour, label=title)
        bounds = [(k, row[name]["ci"]) for k, row in zip(place, rows, strict=True) if row[name]["ci"]]
        if bounds:
            axis.fill_between(
                [k for k, _ in bounds],
                [ci[0] for _, ci in bounds],
                [ci[1] for _, ci in bounds],
                color=colour,
                alpha=0.15,
            )
    axis.axhline(ALIKE, color=MUTED, lw=1, ls=(0, (4, 3)))
    axis.set_xticks(
        place, [row["part"].replace("stage 2 ", "stage 2\n").replace("stage 1 ", "stage 1\n") for row in rows]
    )
    axis.set(
        xlim=(-0.5, len(rows) - 0.5), ylim=(min(-0.1, axis.get_ylim()[0]), 1.08), ylabel="likeness to the trained model"
    )
    axis.legend(loc="upper right", ncols=2)


def _draw_texts(figure: Figure, summary: Mapping[str, Any], study: Study, index: int) -> None:
    title = f"Heat for “{label_title(summary['label'])}” as weights turn random, from the answer to the input"
    figure.text(0.012, 0.955, title, fontsize=13, fontweight="bold", va="center")
    figure.text(0.012, 0.905, summary["statement"], fontsize=9, va="center")
    about = (
        f"study {study.uid}, slice {index + 1} of {len(study.hu)}; parts stay random once randomised; {RESEARCH_USE}"
    )
    figure.text(0.012, 0.025, about, fontsize=8.5, color=MUTED, va="center")
