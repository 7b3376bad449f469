"""The feature map: every window a dot, coloured by what is true and by what the model says."""

from pathlib import Path

import numpy as np

from pectl.core.statistics.ranking import BoolArray, FloatArray
from pectl.report.style import BLUE, VERMILLION, SavedFigure, new_figure, report_style, save


def draw_feature_map(x: FloatArray, y: FloatArray, score: FloatArray, label: BoolArray, out: Path) -> SavedFigure:
    """Draw the windows, all (n,), twice side by side."""
    with report_style():
        figure, (truth, answer) = new_figure(9.2, 4.6, columns=2)
        size = float(np.clip(9000 / max(label.size, 1), 6, 30))
        for mask, colour, name in ((~label, BLUE, "without PE"), (label, VERMILLION, "with PE")):
            truth.scatter(x[mask], y[mask], s=size, color=colour, alpha=0.6, lw=0, label=name)
        truth.set_title("What is true")
        truth.legend(loc="upper right", markerscale=1.6)
        order = np.argsort(score, kind="stable")  # the highest on top
        dots = answer.scatter(x[order], y[order], s=size, c=score[order], cmap="viridis", vmin=0, vmax=1, lw=0)
        answer.set_title("What the model says")
        figure.colorbar(dots, ax=answer, label="PE score of the window", shrink=0.8)
        for axis in (truth, answer):
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_box_aspect(1)
        saved = SavedFigure(
            "feature_map",
            "Map of the windows",
            "t-SNE of stage 1's features, at most 750 windows of each kind. Near means alike to the network; "
            "distances between groups, and the axes, mean nothing.",
        )
        return save(figure, out, saved)
