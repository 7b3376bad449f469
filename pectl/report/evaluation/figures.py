"""The figures of an evaluation, each as PNG and SVG: ROC, precision-recall, calibration, scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from pectl.core.statistics.bootstrap import IntArray
from pectl.core.statistics.curves import GRID, Curve, Curves, curves
from pectl.core.statistics.intervals import wilson
from pectl.core.statistics.metrics import calibration_bins
from pectl.core.statistics.ranking import BoolArray, FloatArray
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

_SEED = 0
_HISTOGRAM_BINS = [k / 20 for k in range(21)]
_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE)


@dataclass(frozen=True)
class Scored:
    """Labelled scores of one level or label, as figures need them; arrays (n,)."""

    title: str
    label: BoolArray
    score: FloatArray
    study: IntArray | None
    auroc: str
    """AUROC with its interval, as text."""
    point: tuple[float, float] | None
    """1 - specificity and sensitivity at the frozen threshold."""


@dataclass(frozen=True)
class StudyScores:
    """Calibrated PE scores of studies by truth: name -> (n,), and the frozen threshold."""

    groups: Mapping[str, FloatArray]
    threshold: float


def draw_levels(levels: Sequence[Scored], out: Path) -> list[SavedFigure]:
    """Draw ROC and precision-recall of PE at exam, window and image level."""
    drawn = [(level, found) for level in levels if (found := _curves(level)) is not None]
    with report_style():
        return [_draw_roc(drawn, out), _draw_precision_recall(drawn, out)] if drawn else []


def draw_label_rocs(labels: Sequence[Scored], out: Path) -> SavedFigure:
    """Draw one small ROC for each exam label."""
    with report_style():
        figure, axes = new_figure(9.2, 9.6, columns=3, row_heights=(1, 1, 1))
        for axis, scored in zip(axes, labels, strict=True):
            unit_axes(axis, "", "")
            axis.set_title(scored.title, fontsize=10)
            found = _curves(scored)
            if found is None:
                axis.text(0.5, 0.5, "one class only:\nno ROC", ha="center", va="center", color=MUTED)
                continue
            _draw_curve(axis, found.roc, BLUE, "")
            _mark(axis, scored.point, BLUE)
            counts = f"{scored.label.sum():,} of {scored.label.size:,} positive"
            axis.text(0.97, 0.05, f"AUROC {scored.auroc}\n{counts}", ha="right", va="bottom", fontsize=8.5)
        figure.supxlabel("1 - specificity", fontsize=10, color=MUTED)
        figure.supylabel("sensitivity", fontsize=10, color=MUTED)
        saved = SavedFigure(
            "roc_labels",
            "ROC of the nine exam labels",
            "Band: 95 % pointwise, bootstrap over studies. Dot: the frozen threshold. RV/LV labels are "
            "judged in studies with PE only, where they are defined.",
        )
        return save(figure, out, saved)


def draw_calibration(label: BoolArray, versions: Mapping[str, FloatArray], out: Path) -> SavedFigure:
    """Draw observed share against predicted probability, before and after calibration, and their spread."""
    with report_style():
        figure, (axis, spread) = new_figure(5.4, 6.6, row_heights=(3.6, 1))
        unit_axes(axis, "predicted probability of PE", "observed share with PE")
        axis.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 3)))
        for (name, score), colour in zip(versions.items(), (ORANGE, BLUE), strict=False):
            draw_reliability(axis, label, score, colour, name)
            spread.hist(score, bins=_HISTOGRAM_BINS, color=colour, histtype="step", lw=1.6)
        axis.legend(loc="upper left")
        spread.set(xlim=(-0.02, 1.02), ylabel="studies")
        spread.set_xticks([])
        spread.grid(axis="x", visible=False)
        saved = SavedFigure(
            "calibration",
            "Calibration of PE",
            "Points: ten equal-width bins with Wilson's 95 % interval; on the diagonal, probabilities mean "
            "what they say. Below: how many studies get which probability.",
        )
        return save(figure, out, saved)


def draw_scores(scores: StudyScores, out: Path) -> SavedFigure:
    """Draw one dot per study, by truth, with the frozen threshold."""
    with report_style():
        figure, (axis,) = new_figure(5.4, 6.6)
        rng = np.random.default_rng(_SEED)
        for row, (score, colour) in enumerate(zip(scores.groups.values(), _COLOURS, strict=False)):
            height = row + _swarm(score, rng)
            axis.scatter(score, height, s=_dot_size(score.size), color=colour, alpha=0.6, lw=0)
            if score.size:
                axis.plot([np.median(score)] * 2, [row - 0.36, row + 0.36], color=INK, lw=1.6)
        axis.axvline(scores.threshold, color=INK, lw=1.2, ls=(0, (4, 3)))
        axis.text(scores.threshold, -0.62, " threshold", va="bottom", fontsize=8.5, color=INK)
        names = [f"{name}\n{score.size:,} studies" for name, score in scores.groups.items()]
        axis.set_yticks(range(len(names)), names, color=INK)
        axis.set(xlim=(-0.02, 1.02), ylim=(len(names) - 0.4, -0.65), xlabel="calibrated probability of PE")
        axis.grid(axis="y", visible=False)
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)
        saved = SavedFigure(
            "scores",
            "Score of every study",
            "One dot per study; right of the dashed line it is called positive. Bars: medians.",
        )
        return save(figure, out, saved)


def _curves(scored: Scored) -> Curves | None:
    return curves(scored.label, scored.score, scored.study, seed=_SEED)


def _draw_roc(drawn: Sequence[tuple[Scored, Curves]], out: Path) -> SavedFigure:
    figure, (axis,) = new_figure(5.4, 5.6)
    unit_axes(axis, "1 - specificity", "sensitivity")
    axis.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 3)))
    for (scored, found), colour in zip(drawn, _COLOURS, strict=False):
        _draw_curve(axis, found.roc, colour, f"{scored.title}: {scored.auroc}")
        _mark(axis, scored.point, colour)
    axis.legend(loc="lower right", title="AUROC (95 % interval)", title_fontsize=9, alignment="left")
    saved = SavedFigure(
        "roc",
        "ROC: is there PE?",
        "Band: 95 % pointwise, bootstrap over studies. Dots: the thresholds frozen before this evaluation.",
    )
    return save(figure, out, saved)


def _draw_precision_recall(drawn: Sequence[tuple[Scored, Curves]], out: Path) -> SavedFigure:
    figure, (axis,) = new_figure(5.4, 5.6)
    unit_axes(axis, "sensitivity (recall)", "positive predictive value (precision)")
    for (scored, found), colour in zip(drawn, _COLOURS, strict=False):
        _draw_curve(axis, found.precision_recall, colour, scored.title)
        axis.axhline(scored.label.mean(), color=colour, lw=1, ls=(0, (2, 3)))
    axis.legend(loc="lower left")
    saved = SavedFigure(
        "precision_recall",
        "Precision and recall",
        "Dotted: prevalence, the precision of a coin. Levels have different prevalences, so compare each "
        "curve with its own dotted line.",
    )
    return save(figure, out, saved)


def unit_axes(axis: Axes, x: str, y: str) -> None:
    """Let both axes of a square run from 0 to 1."""
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y)
    axis.set_box_aspect(1)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axis.set_xticks(ticks, ["0", ".25", ".5", ".75", "1"])
    axis.set_yticks(ticks, ["0", ".25", ".5", ".75", "1"])


def _draw_curve(axis: Axes, curve: Curve, colour: str, name: str) -> None:
    axis.fill_between(GRID, curve.low, curve.high, color=colour, alpha=0.14, lw=0)
    axis.plot(curve.x, curve.y, color=colour, label=name or None)


def _mark(axis: Axes, point: tuple[float, float] | None, colour: str) -> None:
    if point is not None:
        axis.plot(*point, "o", ms=7, mfc="white", mec=colour, mew=2)


def draw_reliability(axis: Axes, label: BoolArray, score: FloatArray, colour: str, name: str) -> None:
    """Draw the observed share of each bin of scores, with Wilson's interval."""
    if not label.size:
        return
    _, mean_score, rate, n = calibration_bins(label, score)
    bounds = np.array([wilson(round(share * size), int(size), 0.95) for share, size in zip(rate, n, strict=True)])
    error = np.abs(bounds.T - rate)
    axis.errorbar(mean_score, rate, yerr=error, fmt="o", color=colour, ms=6, lw=1.4, label=name)


def _swarm(score: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Spread dots vertically by how many lie at about the same score: (n,) in [-0.33, 0.33]."""
    bins = np.minimum((score * 40).astype(int), 39)
    crowd = np.bincount(bins, minlength=40)
    width = 0.33 * np.sqrt(crowd / max(1, crowd.max()))
    return np.asarray(rng.uniform(-1, 1, score.size) * width[bins], np.float64)


def _dot_size(n: int) -> float:
    return float(np.clip(6000 / max(n, 1), 7, 46))
