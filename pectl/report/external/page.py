"""The report of an external validation as one offline HTML file, from what `validate-external` wrote."""

from pathlib import Path

from pectl.core.labels.names import STUDY
from pectl.core.storage.csv_table import read_csv
from pectl.core.storage.files import read_json, write_text
from pectl.errors import StoreError
from pectl.report.environment import inline_file, template_environment
from pectl.report.evaluation.content import axis_start, row_cells
from pectl.report.external import content
from pectl.report.external.figures import draw_sites_calibration, draw_sites_forest
from pectl.report.external.flow_figure import draw_flow

REPORT_NAME = "report.html"
MADE_BY = "pectl validate-external"


def write_external_report(out: Path) -> None:
    """Draw the figures and write `out/report.html`; nothing in it is loaded from elsewhere.

    Args:
        out: folder that holds `external.json` and `studies.csv`.

    Raises:
        StoreError: one of them isn't there.
    """
    result = read_json(out / "external.json", made_by=MADE_BY)
    what, fix = "the studies of an external validation", f"run {MADE_BY} again"
    studies = read_csv(
        out / "studies.csv", what=what, error=StoreError, missing=StoreError, fix=fix, dtype={STUDY: str, "site": str}
    )
    drawn = (
        draw_sites_forest(result, out),
        draw_flow(result["sites"], out),
        draw_sites_calibration(result, studies, out),
    )
    groups = content.subgroup_rows(result)
    page = (
        template_environment()
        .get_template("external.html.j2")
        .render(
            result=result,
            rows=content.site_rows(result),
            summary=content.summary_line(result["summary"]),
            figures=[(one, inline_file(out / f"{one.name}.svg")) for one in drawn if one is not None],
            calibration=content.calibration_rows(result),
            local=content.local_rows(result),
            groups=groups,
            groups_start=axis_start([row for _, rows in groups for row in rows]),
            row_cells=row_cells,
            overlaps=content.overlap_rows(result),
            overlap_notes=content.overlap_notes(result),
        )
    )
    write_text(out / REPORT_NAME, page)
