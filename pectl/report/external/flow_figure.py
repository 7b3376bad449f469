"""The way of every study of every site, from those met to those analysed, as boxes and arrows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from pectl.report.external.content import OUTCOME_TITLES
from pectl.report.external.panels import new_panels
from pectl.report.style import BLUE, INK, MUTED, SavedFigure, report_style, save

_INCHES = (3.9, 4.3)
_BOX = {"boxstyle": "round,pad=0.5", "fc": "white", "lw": 1.2}
_INTAKE = ("unreadable", "excluded")
_LATER = ("trained_on", "declared_overlap", "near_identical", "indeterminate", "unlabelled")

Block = Mapping[str, Any]


def draw_flow(sites: Mapping[str, Block], out: Path) -> SavedFigure:
    """Draw the flow of each site."""
    with report_style():
        figure, axes = new_panels(len(sites), *_INCHES)
        for axis, (name, site) in zip(axes, sites.items(), strict=True):
            _draw_site(axis, name, site["flow"])
        saved = SavedFigure(
            "flow",
            "Flow of studies",
            "Left: studies that go on; right: those left out, by the first reason that holds. Undecided and unlike "
            "studies stay in the figures.",
        )
        return save(figure, out, saved)


def _draw_site(axis: Axes, name: str, flow: Block) -> None:
    axis.set_axis_off()
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.set_title(name)
    steps = [
        (0.90, f"{flow['eligible']:,} studies met"),
        (0.58, f"{flow['predicted']:,} predicted"),
        (0.20, f"{flow['analysed']:,} analysed\n{flow['with_pe']:,} with PE, {flow['without_pe']:,} without"),
    ]
    for height, text in steps:
        axis.text(0.24, height, text, ha="center", va="center", fontsize=9, color=INK, bbox=_BOX | {"ec": BLUE})
    for (above, _), (below, _), keys in zip(steps, steps[1:], (_INTAKE, _LATER), strict=False):
        _arrow(axis, (0.24, above - 0.05), (0.24, below + 0.07))
        middle = (above + below) / 2
        _arrow(axis, (0.24, middle), (0.50, middle))
        gone = _left_out(flow, keys)
        axis.text(0.53, middle, gone, ha="left", va="center", fontsize=7.5, color=INK, bbox=_BOX | {"ec": MUTED})
    aside = f"of these {flow['abstained']:,} undecided,\n{flow['out_of_distribution']:,} unlike training"
    axis.text(0.24, 0.03, aside, ha="center", va="bottom", fontsize=8, color=MUTED)


def _left_out(flow: Block, keys: tuple[str, ...]) -> str:
    told = [f"{flow[key]:,} {OUTCOME_TITLES[key]}" for key in keys if flow[key]]
    return "\n".join(_wrapped(line) for line in told) or "none left out"


def _wrapped(line: str, width: int = 24) -> str:
    words, lines = line.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append("  ")
        lines[-1] += f"{word} "
    return "\n".join(part.rstrip() for part in lines)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": MUTED, "shrinkA": 0, "shrinkB": 0})
