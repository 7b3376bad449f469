"""The learning curves of a run, from its `metrics.csv`."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from pectl.report.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    VERMILLION,
    SavedFigure,
    new_figure,
    report_style,
    save,
)

Lines = dict[str, tuple[str, str]]
"""Column of `metrics.csv` -> name in the legend, colour."""

LOSS: Lines = {"train_loss": ("training", BLUE), "val_loss": ("validation", VERMILLION)}
AUROC: Lines = {
    "val_exam_auroc": ("PE present", GREEN),
    "val_window_auroc": ("windows", BLUE),
    "val_leftsided_pe_auroc": ("left", VERMILLION),
    "val_rightsided_pe_auroc": ("right", ORANGE),
    "val_central_pe_auroc": ("central", PURPLE),
    "val_chronic_pe_auroc": ("chronic", INK),
    "val_acute_and_chronic_pe_auroc": ("acute and chronic", MUTED),
    "val_rv_lv_ratio_gte_1_auroc": ("RV/LV", GREEN),
}
RATE: Lines = {"learning_rate": ("rate", PURPLE)}
MOST_MARKERS = 40
"""With more epochs the lines have no dots."""
CROWDED = 4
"""With more lines their names have a place of their own below them."""
LOG_RATIO = 8.0
"""Losses that differ by more are drawn on a logarithmic axis, or the first epochs would hide the others."""


def draw_learning_curves(run: Path) -> SavedFigure:
    """Draw losses, AUROCs and learning rate by epoch into the run folder, as `learning_curves.png` and `.svg`."""
    metrics = pd.read_csv(run / "metrics.csv")
    kept = int(metrics["val_loss"].argmin())
    epoch = int(metrics["epoch"][kept])
    with report_style():
        figure, (loss, area, rate) = new_figure(11.0, 3.6, columns=3)
        _draw(loss, metrics, LOSS, kept, "Loss")
        losses = metrics[list(LOSS)].to_numpy(np.float64)
        if losses.max() > LOG_RATIO * losses.min() > 0:
            loss.set_yscale("log")
            loss.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            loss.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # 0.5, not 5 x 10^-1
            loss.yaxis.set_minor_formatter(NullFormatter())
        _draw(area, metrics, AUROC, kept, "AUROC on validation")
        area.axhline(0.5, color=MUTED, lw=1, ls=(0, (1, 2)))
        area.set_ylim(min(0.45, area.get_ylim()[0]), 1.02)
        if len(area.get_legend_handles_labels()[0]) > CROWDED:
            area.set_ylim(bottom=area.get_ylim()[0] - 0.12)
            area.set_yticks([tick for tick in area.get_yticks() if 0 <= tick <= 1])
            area.legend(loc="lower center", ncols=2, fontsize=7, handlelength=1)
        _draw(rate, metrics, RATE, kept, "Learning rate")
        rate.set_ylim(bottom=0)
        rate.legend().remove()
        figure.supxlabel(
            f"{run.absolute().name}: epoch {epoch} of {len(metrics)} is kept, that of the lowest validation loss "
            "(dashed). Dotted: chance. Research use only, not for diagnosis.",
            fontsize=8,
        )
        caption = f"The epoch with the lowest validation loss, {epoch}, is kept."
        return save(figure, run, SavedFigure("learning_curves", "Learning curves", caption))


def _draw(axis: Axes, metrics: pd.DataFrame, lines: Lines, kept: int, title: str) -> None:
    """Draw columns by epoch, and say in the legend what they are at the epoch that is kept."""
    epoch = metrics["epoch"]
    for column, (name, colour) in lines.items():
        if column in metrics:
            label = f"{name} ({metrics[column][kept]:.3g} kept)"
            marker = "o" if len(metrics) <= MOST_MARKERS else None
            axis.plot(epoch, metrics[column], marker=marker, ms=3, color=colour, label=label)
    axis.axvline(epoch[kept], color="#9ca3af", lw=1, ls=(0, (4, 3)))
    axis.set(xlabel="epoch", title=title)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.margins(y=0.25)
    axis.legend(loc="best")
