"""One look for every figure: quiet axes, and colours that colour-blind readers can tell apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pectl.core.storage.files import atomic_path

BLUE, VERMILLION, GREEN, PURPLE, ORANGE = "#0072B2", "#D55E00", "#009E73", "#AA4499", "#E69F00"
"""After Okabe and Ito 2008, and Tol 2021 for the purple."""
INK, MUTED, GRID_LINE = "#1f2937", "#6b7280", "#e5e7eb"

FONTS = ["Liberation Sans", "Arial", "Helvetica", "DejaVu Sans"]
"""The first of them that the machine has; the last comes with matplotlib."""
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": FONTS,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": "#9ca3af",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID_LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "svg.hashsalt": "pectl",  # the same data give the same bytes
    "svg.fonttype": "path",
    "savefig.facecolor": "white",
}
PNG_LEVEL = 3
"""Takes half the time of level 6, and files are larger by a fifth."""
_PNG_DPI = 160
_WRITTEN: dict[str, Any] = {
    ".png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": PNG_LEVEL}},
    ".svg": {"metadata": {"Date": None, "Creator": None}},
}
"""Without what differs from run to run."""


@dataclass(frozen=True)
class SavedFigure:
    """A figure on disk: the stem of its .png and .svg, its title and what a reader should see in it."""

    name: str
    title: str
    caption: str


@contextmanager
def report_style() -> Iterator[None]:
    """Draw figures inside this block: the style doesn't leak to others that use matplotlib."""
    with mpl.rc_context(_STYLE):
        yield


def new_figure(
    width: float, height: float, *, columns: int = 1, row_heights: tuple[float, ...] = (1.0,)
) -> tuple[Figure, list[Axes]]:
    """Return a figure in inches and its axes, row by row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(row_heights), columns, height_ratios=row_heights, squeeze=False)
    return figure, list(axes.ravel())


def save(figure: Figure, out: Path, saved: SavedFigure) -> SavedFigure:
    """Write `out/<name>.png` and `.svg`, laid out once."""
    for suffix in _WRITTEN:
        save_file(figure, out / f"{saved.name}{suffix}", dpi=_PNG_DPI)
        figure.set_layout_engine(None)  # places are kept; to find them takes longer than to draw
    return saved


def save_file(figure: Figure, path: Path, *, dpi: int) -> None:
    """Write a PNG or SVG, by the path's ending, as a whole or not at all; the same data give the same bytes."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=dpi, **_WRITTEN[path.suffix])
