"""One offline HTML file, and PNG and SVG figures, from what `evaluate` wrote."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pectl.core.labels.names import PE_PRESENT, STUDY
from pectl.core.storage.csv_table import read_csv
from pectl.core.storage.files import read_json, write_text
from pectl.errors import PredictionsError
from pectl.report.environment import inline_file, template_environment
from pectl.report.evaluation import content
from pectl.report.evaluation.from_tables import Tables, draw_figures
from pectl.report.explanation.summary_page import BASELINE_TITLES, measure_rows
from pectl.report.style import SavedFigure

REPORT_NAME = "report.html"
_MADE_BY = "pectl evaluate"
_GALLERY = 12
"""Explained studies shown beside the worst cases."""


def write_evaluation_report(out: Path, *, explain_summary: Mapping[str, Any] | None = None) -> Path:
    """Draw the figures and write `out/report.html`; nothing in it is loaded from elsewhere.

    Args:
        out: folder that holds metrics.json and the tables; `config.toml` is shown if it's there.
        explain_summary: of `explain`, if it has run. `statement`: a sentence. `studies`: StudyInstanceUID ->
            `{"image": path of a picture, "link": relative address, "caption": text}`, each optional.
            `measures`: how well the heat points, beside both baselines.

    Returns:
        The path of the report.

    Raises:
        StoreError: no metrics.json.
        InputMissingError: a table or a picture that should be there isn't.
    """
    metrics = read_json(out / "metrics.json", made_by=_MADE_BY)
    tables = _read_tables(out, metrics)
    figures = draw_figures(metrics, tables, out)
    template = template_environment().get_template("evaluation.html.j2")
    page = template.render(_context(metrics, tables, out, figures, explain_summary or {}))
    write_text(out / REPORT_NAME, page)
    return out / REPORT_NAME


def _context(
    metrics: Mapping[str, Any],
    tables: Tables,
    out: Path,
    figures: list[SavedFigure],
    summary: Mapping[str, Any],
) -> dict[str, Any]:
    rows, groups = content.headline_rows(metrics), content.subgroup_rows(metrics)
    missed, alarms = _worst(metrics, tables)
    config = out / "config.toml"
    band = (metrics["exam"] or {}).get(PE_PRESENT, {}).get("band")
    return {
        "metrics": metrics,
        "cards": content.cards(metrics),
        "sentence": content.summary(metrics),
        "rows": rows,
        "row_cells": content.row_cells,
        "probability_cells": content.probability_cells,
        "axis_start": content.axis_start(rows),
        "groups": groups,
        "groups_start": content.axis_start(groups),
        "band": band,
        "band_promises": content.band_promises(band) if band else [],
        "methods": content.methods(metrics),
        "figures": [(figure, inline_file(out / f"{figure.name}.svg")) for figure in figures],
        "confusions": [row for row in rows if row.asks_for_pe and row.block["n"]],
        "missed": missed,
        "alarms": alarms,
        "explained": _explained(summary, out, {case.study for case in missed + alarms}),
        "gallery": _explained(summary, out, _some(summary)),
        "n_explained": len(summary.get("studies", {})),
        "explain_statement": summary.get("statement"),
        "measures": measure_rows(summary.get("measures", {})),
        "baselines": BASELINE_TITLES,
        "lineage": {name: _plain(value) for name, value in metrics["lineage"].items()},
        "config": config.read_text(encoding="utf-8") if config.is_file() else None,
    }


def _worst(metrics: Mapping[str, Any], tables: Tables) -> tuple[list[content.WorstCase], list[content.WorstCase]]:
    if not metrics["exam"]:
        return [], []
    exam = tables.exam.set_index(STUDY)
    return content.worst_cases(exam, metrics["exam"][PE_PRESENT]["threshold"])


def _some(summary: Mapping[str, Any]) -> set[str]:
    """Return the first studies that have a picture: a page with a thousand can't be opened."""
    pictured = [uid for uid, shown in summary.get("studies", {}).items() if shown.get("image")]
    return set(pictured[:_GALLERY])


def _explained(summary: Mapping[str, Any], out: Path, uids: set[str]) -> dict[str, dict[str, str]]:
    """Return what the report shows of explained studies, their pictures inlined."""
    return {
        uid: {
            "image": inline_file(out / shown["image"]) if shown.get("image") else "",
            "link": str(shown.get("link", "")),
            "caption": str(shown.get("caption", "")),
        }
        for uid, shown in summary.get("studies", {}).items()
        if uid in uids
    }


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _read_tables(out: Path, metrics: Mapping[str, Any]) -> Tables:
    return Tables(
        exam=_read_csv(out / "exam.csv", dtype={STUDY: str}),
        window=_read_units(out / "window.csv", "score", "stage1_score") if metrics["window"] else None,
        image=_read_units(out / "image.csv", "score") if metrics["image"] else None,
        places=_read_csv(out / "feature_map.csv", dtype={STUDY: str}) if metrics["feature_map"] else None,
    )


def _read_units(path: Path, *scores: str) -> pd.DataFrame:
    """Read what figures need of windows or images, of which there may be millions: the study as a category."""
    return _read_csv(path, usecols=[STUDY, "label", *scores], dtype={STUDY: "category"})


def _read_csv(path: Path, **options: Any) -> pd.DataFrame:  # noqa: ANN401 - pandas' own
    return read_csv(
        path,
        what="a table that metrics.json names",
        error=PredictionsError,
        fix=f"run {_MADE_BY} again",
        **options,
    )
