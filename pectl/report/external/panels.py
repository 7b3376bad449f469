"""Figures with one panel for each site."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pectl.report.style import new_figure

_MOST = 3


def new_panels(n: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of n panels of this size in inches, three beside each other at most, and their axes."""
    columns = 2 if n == 4 else min(_MOST, n)
    rows = -(-n // columns)
    figure, axes = new_figure(width * columns, height * rows, columns=columns, row_heights=(1.0,) * rows)
    for axis in axes[n:]:
        axis.set_axis_off()
    return figure, axes[:n]
