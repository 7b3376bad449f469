"""The figures of an external validation beside the flow: AUROC by site, and calibration by site."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pectl.core.labels.names import PE_PRESENT
from pectl.report.evaluation.figures import draw_reliability, unit_axes
from pectl.report.external.content import pe_block
from pectl.report.external.panels import new_panels
from pectl.report.forest_figure import ForestLine, draw_forest
from pectl.report.style import BLUE, MUTED, SavedFigure, report_style, save
from pectl.report.text import estimate

_INCHES = (3.7, 4.0)

Block = Mapping[str, Any]


def draw_sites_forest(result: Block, out: Path) -> SavedFigure | None:
    """Draw the AUROC of each site, and the random-effects summary below; None where no site has an interval."""
    lines = [
        ForestLine(
            f"{name} ({site['prevalence']['n_positive']:,} of {site['prevalence']['n']:,} with PE)",
            block["auroc"],
            tuple(block["auroc_ci"]),
            filled=name in result["summary"]["sites"],
            heading="Each site by itself",
        )
        for name, site in result["sites"].items()
        if (block := pe_block(site)) and block["auroc_ci"]
    ]
    if not lines:
        return None
    saved = SavedFigure(
        "forest",
        "AUROC of PE by site",
        "Filled: in the summary. The mean is that of the distribution of sites, by random effects; a further site is "
        "expected within the prediction interval. Sites of one class have no AUROC and are in no summary.",
    )
    return draw_forest([*lines, *_summary(result["summary"])], out, saved, xlabel="AUROC", reference=0.5)


def _summary(summary: Block) -> list[ForestLine]:
    if summary["auroc"] is None:
        return []
    heading = f"Random effects, {len(summary['sites'])} sites"
    bounds = {"mean of sites": summary["ci"], "a further site": summary["prediction"]}
    return [
        ForestLine(title, summary["auroc"], tuple(found), filled=title == "mean of sites", heading=heading)
        for title, found in bounds.items()
        if found
    ]


def draw_sites_calibration(result: Block, studies: pd.DataFrame, out: Path) -> SavedFigure | None:
    """Draw observed share against predicted probability at each site; None where nothing was analysed.

    Args:
        result: content of `external.json`.
        studies: `studies.csv`.
        out: folder of the figure.
    """
    sites = [name for name, site in result["sites"].items() if site["prevalence"]["n"]]
    if not sites:
        return None
    with report_style():
        figure, axes = new_panels(len(sites), *_INCHES)
        for axis, name in zip(axes, sites, strict=True):
            known = studies[(studies["site"] == name) & (studies["outcome"] == "analysed")]
            _draw_calibration(axis, name, result["sites"][name]["calibration"], known)
        saved = SavedFigure(
            "calibration",
            "Calibration by site",
            "Probabilities of the frozen calibrators. Points: ten equal-width bins with Wilson's 95 % interval. In the "
            "large: 0 is right, below 0 probabilities are too high; slope: 1 is right, below 1 they are too extreme.",
        )
        return save(figure, out, saved)


def _draw_calibration(axis: Axes, name: str, found: Block, known: pd.DataFrame) -> None:
    label = np.asarray(known[f"{PE_PRESENT}_truth"].to_numpy() == 1, np.bool_)
    unit_axes(axis, "predicted probability of PE", "observed share with PE")
    axis.set_title(name)
    axis.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 3)))
    draw_reliability(axis, label, known[f"{PE_PRESENT}_probability"].to_numpy(np.float64), BLUE, "")
    told = [
        f"in the large {estimate(found['in_the_large'], found['in_the_large_ci'], 2)}",
        f"slope {estimate(found['slope'], found['slope_ci'], 2)}",
    ]
    axis.text(1, 1.02, "\n".join(told), ha="right", va="bottom", fontsize=7.5, color=MUTED, transform=axis.transAxes)
