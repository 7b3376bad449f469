"""A forest plot: an estimate with its interval on each line, lines under headings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pectl.report.style import BLUE, INK, MUTED, SavedFigure, new_figure, report_style, save

_LINE_INCHES = 0.36


@dataclass(frozen=True)
class ForestLine:
    """An estimate: `filled` is its dot's look, `heading` stands above the first line of each group."""

    title: str
    value: float
    bounds: tuple[float, float]
    filled: bool
    heading: str = ""


def draw_forest(
    lines: Sequence[ForestLine], out: Path, saved: SavedFigure, *, xlabel: str, reference: float
) -> SavedFigure:
    """Draw the lines from top to bottom, and a dashed line at `reference`."""
    places, headings = _layout(lines)
    rows = len(lines) + len(headings)
    with report_style():
        figure, (axis,) = new_figure(7.0, 1.1 + _LINE_INCHES * rows)
        for place, line in zip(places, lines, strict=True):
            axis.plot(line.bounds, [place, place], color=BLUE, lw=2.4)
            axis.plot(line.value, place, "o", ms=8, mfc=BLUE if line.filled else "white", mec=BLUE, mew=2)
        axis.axvline(reference, color=MUTED, lw=1, ls=(0, (4, 3)))
        ticks = {**dict(zip(places, [line.title for line in lines], strict=True)), **headings}
        axis.set_yticks(list(ticks), list(ticks.values()), color=INK)
        for place, text in zip(ticks, axis.get_yticklabels(), strict=True):
            text.set_fontweight("bold" if place in headings else "normal")
        axis.set(ylim=(rows - 0.4, -0.6), xlabel=xlabel)
        axis.grid(axis="y", visible=False)
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)
        return save(figure, out, saved)


def _layout(lines: Sequence[ForestLine]) -> tuple[list[int], dict[int, str]]:
    """Return the row of each line, and the rows of the headings."""
    places: list[int] = []
    headings: dict[int, str] = {}
    for i, line in enumerate(lines):
        if line.heading and (i == 0 or line.heading != lines[i - 1].heading):
            headings[i + len(headings)] = line.heading
        places.append(i + len(headings))
    return places, headings
