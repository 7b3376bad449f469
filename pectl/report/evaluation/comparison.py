"""The comparison of two evaluations as one offline HTML file, with a forest plot as PNG and SVG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pectl.core.storage.files import read_json, write_text
from pectl.report.environment import inline_file, template_environment
from pectl.report.forest_figure import ForestLine, draw_forest
from pectl.report.style import SavedFigure
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
    figure = _draw([row for row in rows if row["difference_ci"]], out)
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


def _draw(rows: Sequence[Row], out: Path) -> SavedFigure:
    lines = [
        ForestLine(
            row["title"],
            row["difference"],
            tuple(row["difference_ci"]),
            filled=row["p_holm"] is not None and row["p_holm"] < _SIGNIFICANT,
        )
        for row in rows
    ]
    saved = SavedFigure(
        "comparison",
        "Difference in AUROC",
        "Right of the dashed line A is better. Filled: p < 0.05 after Holm's correction.",
    )
    return draw_forest(lines, out, saved, xlabel="AUROC of A - AUROC of B", reference=0.0)
