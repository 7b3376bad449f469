"""How well the heat of a split points, as one offline page with links to its studies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pectl.core.storage.files import write_text
from pectl.report.environment import inline_file, template_environment
from pectl.report.explanation.froc_figure import draw_froc, froc_rows
from pectl.report.forest_figure import ForestLine, draw_forest
from pectl.report.style import SavedFigure
from pectl.report.text import interval, label_title, number

PAGE_NAME = "index.html"
MEASURE_TITLES: Mapping[str, str] = {
    "peak_in_pe_slice": "Peak in a slice with PE",
    "slice_auroc": "AUROC of slice heat",
    "side_agreement": "Most heat on the labelled side",
    "pointing_game": "Peak within 5 mm of an embolus",
    "pointing_chronic": "Peak within 5 mm of a chronic embolus",
    "heat_in_arteries": "Share of heat in arteries",
    "heat_in_emboli": "Share of heat in emboli",
    "peak_near_ventricle": "Peak within 10 mm of a ventricle",
    "heat_in_ventricles": "Share of heat in ventricles",
}
BASELINE_TITLES: Mapping[str, str] = {
    "random_lung": "random position in the lungs",
    "brightest_vessel": "brightest vessel",
}
_OVER = {"random_lung": "a random position in the lungs", "brightest_vessel": "the brightest vessel"}

Block = Mapping[str, Any]


def write_summary_page(out: Path, summary: Block) -> None:
    """Draw `advantage` and `froc` as PNG and SVG, and write `out/index.html`; the page is written last.

    Args:
        out: folder of `explain --split`, with a folder of each study.
        summary: what `summary.json` holds.
    """
    drawn = (_draw(summary["measures"], out), draw_froc(summary["froc"], out))
    figures = [figure for figure in drawn if figure is not None]
    page = (
        template_environment()
        .get_template("explain_summary.html.j2")
        .render(
            summary=summary,
            title=label_title(summary["label"]),
            measures=measure_rows(summary["measures"]),
            baselines=BASELINE_TITLES,
            measure_titles=[MEASURE_TITLES[name] for name in _measured(summary["studies"])],
            figures=[(one, inline_file(out / f"{one.name}.svg")) for one in figures],
            froc=summary["froc"],
            froc_rows=froc_rows(summary["froc"]),
            studies=_study_rows(summary["studies"], out),
        )
    )
    write_text(out / PAGE_NAME, page)


def measure_rows(measures: Block) -> list[dict[str, Any]]:
    """Return a row for each measure, its numbers as text: of the heat, and of each baseline beside it."""
    return [
        {
            "title": MEASURE_TITLES[name],
            "n": block["n"],
            "value": number(block["value"], 2),
            "ci": interval(block["ci"], 2),
            "above": block["above_baselines"],
            "baselines": [_baseline_cell(block["baselines"][key]) for key in BASELINE_TITLES],
        }
        for name, block in measures.items()
    ]


def _baseline_cell(block: Block) -> dict[str, str]:
    return {
        "value": number(block["value"], 2),
        "difference": f"{block['difference']:+.2f}",
        "ci": interval(block["difference_ci"], 2),
    }


def _draw(measures: Block, out: Path) -> SavedFigure | None:
    """Draw the differences to both baselines; None where no interval is defined."""
    lines = [
        ForestLine(
            f"over {_OVER[key]}",
            found["difference"],
            tuple(found["difference_ci"]),
            filled=found["difference_ci"][0] > 0,
            heading=f"{MEASURE_TITLES[name]} ({block['value']:.2f})",
        )
        for name, block in measures.items()
        for key, found in block["baselines"].items()
        if found["difference_ci"]
    ]
    if not lines:
        return None
    saved = SavedFigure(
        "advantage",
        "By how much the heat beats both baselines",
        "Difference to each baseline with its interval, in the same studies. Filled: above the baseline.",
    )
    return draw_forest(lines, out, saved, xlabel="heat - baseline", reference=0.0)


def _study_rows(studies: Mapping[str, Block], out: Path) -> list[dict[str, Any]]:
    """Return the studies, those with PE first, misses before hits."""
    measured = _measured(studies)
    rows = [
        {
            "uid": uid,
            "link": shown["link"],
            "image": inline_file(out / shown["image"]),
            "probability": shown["pe_probability"],
            "positive": shown["positive"],
            "measures": [_measure_cell(shown["measures"].get(name)) for name in measured],
            "hit": _measure_cell(shown["measures"].get("peak_in_pe_slice"))["value"] or 0,
        }
        for uid, shown in studies.items()
    ]
    return sorted(rows, key=lambda row: (not row["positive"], row["hit"], row["uid"]))


def _measured(studies: Mapping[str, Block]) -> list[str]:
    """Return the measures that some study has, in their order."""
    return [name for name in MEASURE_TITLES if any(name in shown["measures"] for shown in studies.values())]


def _measure_cell(block: Block | None) -> dict[str, Any]:
    value = None if block is None else block["heat"]
    return {"value": value, "text": number(value, 2)}
