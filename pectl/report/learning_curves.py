"""The learning curves of a run, from its `metrics.csv`."""

from pathlib import Path

import pandas as pd
from matplotlib.ticker import MaxNLocator

from pectl.report.style import BLUE, GREEN, VERMILLION, SavedFigure, new_figure, report_style, save

LINES = {
    "loss": {"train_loss": ("training", BLUE), "val_loss": ("validation", VERMILLION)},
    "AUROC on validation": {"val_exam_auroc": ("PE present", GREEN), "val_window_auroc": ("windows", BLUE)},
}


def draw_learning_curves(run: Path) -> SavedFigure:
    """Draw losses and AUROCs by epoch into the run folder as `learning_curves.png` and `.svg`."""
    metrics = pd.read_csv(run / "metrics.csv")
    best = metrics["epoch"].iloc[metrics["val_loss"].argmin()]
    with report_style():
        figure, axes = new_figure(9.0, 3.6, columns=2)
        for axis, (title, lines) in zip(axes, LINES.items(), strict=True):
            for column, (name, colour) in lines.items():
                if column in metrics:
                    axis.plot(metrics["epoch"], metrics[column], "o-", ms=3, color=colour, label=name)
            axis.axvline(best, color="#9ca3af", lw=1, ls=(0, (4, 3)))
            axis.set(xlabel="epoch", title=title)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.legend()
        figure.supxlabel("research use only, not for diagnosis; dashed: the epoch that is kept", fontsize=8)
        caption = f"The epoch with the lowest validation loss, {best:.0f}, is kept."
        return save(figure, run, SavedFigure("learning_curves", "Learning curves", caption))
