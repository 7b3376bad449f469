"""The comparison of two evaluations as one offline HTML file, with a forest plot as PNG and SVG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pectl.core.data.files import read_json, write_text
from pectl.report.environment import inline_file, template_environment
from pectl.report.style import BLUE, INK, MUTED, SavedFigure, new_figure, report_style, save
from pectl.report.text import LABEL_TITLES

Row = Mapping[str, Any]
REPORT_NAME = "comparison.html"
_SIGNIFICANT = 0.05


def write_comparison_report(out: Path) -> Path:
    """Draw the forest plot and write `out/comparison.html` from `out/comparison.json`.

    Raises:
        StoreError: no comparison.json.
    """
    comparison = read_json(out / "comparison.json", made_by="pectl compare")
    rows = [row | {"title": row_title(row)} for row in comparison["rows"]]
    figure = draw_forest([row for row in rows if row["difference_ci"]], out)
    page = (
        template_environment()
        .get_template("comparison.html.j2")
        .render(
            comparison=comparison,
            rows=rows,
            figure=figure,
            source=inline_file(out / f"{figure.name}.svg"),
            verdict=verdict(rows),
        )
    )
    write_text(out / REPORT_NAME, page)
    return out / REPORT_NAME


def row_title(row: Row) -> str:
    """Return the label's title, with the level where it isn't the study."""
    title = LABEL_TITLES[row["label"]]
    return title if row["level"] == "study" else f"{title} in {row['level']}"


def verdict(rows: Sequence[Row]) -> str:
    """Say in one sentence where the models differ after correction."""
    sure = [row for row in rows if row["p_holm"] is not None and row["p_holm"] < _SIGNIFICANT]
    if not sure:
        return "After correction for the number of tests, no difference is shown: that isn't proof of equality."
    better = [row["title"] for row in sure if row["difference"] > 0]
    worse = [row["title"] for row in sure if row["difference"] < 0]
    parts = [f"{name} is better in {', '.join(titles)}" for name, titles in (("A", better), ("B", worse)) if titles]
    return f"After correction for the number of tests, {'; '.join(parts)}."


def draw_forest(rows: Sequence[Row], out: Path) -> SavedFigure:
    """Draw each difference in AUROC with its interval."""
    with report_style():
        figure, (axis,) = new_figure(7.0, 1.4 + 0.42 * len(rows))
        for place, row in enumerate(rows):
            low, high = row["difference_ci"]
            sure = row["p_holm"] is not None and row["p_holm"] < _SIGNIFICANT
            axis.plot([low, high], [place, place], color=BLUE, lw=2.4)
            axis.plot(row["difference"], place, "o", ms=8, mfc=BLUE if sure else "white", mec=BLUE, mew=2)
        axis.axvline(0, color=MUTED, lw=1, ls=(0, (4, 3)))
        axis.set_yticks(range(len(rows)), [row["title"] for row in rows], color=INK)
        axis.set(ylim=(len(rows) - 0.4, -0.6), xlabel="AUROC of A - AUROC of B")
        axis.grid(axis="y", visible=False)
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)
        saved = SavedFigure(
            "comparison",
            "Difference in AUROC",
            "Right of the dashed line A is better. Filled: p < 0.05 after Holm's correction.",
        )
        return save(figure, out, saved)
