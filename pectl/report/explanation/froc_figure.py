"""FROC of a split: the curve, and the rows of its table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator

from pectl.report.style import BLUE, MUTED, SavedFigure, new_figure, report_style, save
from pectl.report.text import interval, number

Block = Mapping[str, Any]


def froc_rows(froc: Block | None) -> list[dict[str, Any]]:
    """Return a row for each distance of a hit, size class and place, its numbers as text; none without emboli."""
    if froc is None:
        return []
    within = {f"all, mark within {mm} mm": block for mm, block in froc["within"].items()}
    return [_row(title, block) for title, block in (within | froc["groups"]).items()]


def _row(title: str, block: Block) -> dict[str, Any]:
    return {
        "title": title[0].upper() + title[1:],
        "n_emboli": block["n_emboli"],
        "n_hit": block["n_hit"],
        "cells": [_cell(*pair) for pair in zip(block["sensitivity"], block["sensitivity_ci"], strict=True)],
        "average": _cell(block["average"], block["average_ci"]),
    }


def _cell(value: float, bounds: list[float] | None) -> dict[str, str]:
    return {"value": number(value, 2), "ci": interval(bounds, 2)}


def draw_froc(froc: Block | None, out: Path) -> SavedFigure | None:
    """Draw sensitivity per embolus against false marks per scan; None without emboli."""
    if froc is None:
        return None
    curve, rates = froc["curve"], np.array(froc["rates"])
    block = froc["within"][f"{curve['within_mm']:g}"]
    with report_style():
        figure, (axis,) = new_figure(6.4, 4.6)
        false, hits = [0.0, *curve["false_per_scan"]], [0.0, *curve["sensitivity"]]
        axis.step(np.maximum(false, rates[0] / 4), hits, where="post", color=BLUE, lw=1.8)
        for rate, value, bounds in zip(rates, block["sensitivity"], block["sensitivity_ci"], strict=True):
            if bounds:
                axis.plot([rate, rate], bounds, color=BLUE, lw=1.2, alpha=0.6)
            axis.plot(rate, value, "o", ms=6, mfc="white", mec=BLUE, mew=1.8)
        axis.set_xscale("log", base=2)
        axis.set(xlim=(rates[0] / 2, rates[-1] * 1.4), ylim=(-0.02, 1.02))
        axis.set(xlabel="false marks per scan", ylabel="share of emboli marked")
        axis.xaxis.set_major_locator(FixedLocator(rates.tolist()))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xticklabels([f"{rate:g}" for rate in rates])
        average = f"average {number(block['average'], 2)} ({interval(block['average_ci'], 2)})"
        axis.text(0.98, 0.04, average, ha="right", va="bottom", transform=axis.transAxes, color=MUTED)
        saved = SavedFigure(
            "froc",
            f"FROC: marks within {curve['within_mm']:g} mm of an embolus",
            "Circles: the seven rates that are averaged, with intervals by patient. Marks are ordered by confidence.",
        )
        return save(figure, out, saved)
