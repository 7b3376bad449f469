"""What the report of an external validation says: rows and sentences, as plain values for the template."""

from collections.abc import Mapping
from typing import Any

from pectl.core.labels.names import PE_PRESENT
from pectl.report.evaluation.content import ATTRIBUTE_TITLES, Row
from pectl.report.text import estimate, interval, number, percent

Block = Mapping[str, Any]

TITLES = ATTRIBUTE_TITLES | {"contrast seen": "Contrast in the vessels", "distance": "Distance from training"}
OUTCOME_TITLES = {
    "unreadable": "files unreadable or missing",
    "excluded": "left out by the intake",
    "trained_on": "the model was made with the study",
    "declared_overlap": "from a set of the training",
    "near_identical": "volume nearly that of a training study",
    "indeterminate": "indeterminate",
    "unlabelled": "no label of PE",
}
_SHARES = ("sensitivity", "specificity", "ppv", "npv")


def pe_block(site: Block) -> Block | None:
    """Return the measures of PE present of a site; None where nothing was analysed."""
    exam = site["exam"]
    return None if exam is None else exam[PE_PRESENT]


def site_rows(result: Block) -> list[dict[str, Any]]:
    """Return a row for each site, its numbers as text."""
    return [_row(name, site) for name, site in result["sites"].items()]


def _row(name: str, site: Block) -> dict[str, Any]:
    block = pe_block(site) or {}
    shares = {key: _share(block, key) for key in _SHARES}
    return {
        "name": name,
        "kind": site["kind"],
        "n": site["prevalence"]["n"],
        "n_positive": site["prevalence"]["n_positive"],
        "prevalence": _percent(site["prevalence"]["value"], site["prevalence"]["ci"]),
        "auroc": number(block.get("auroc")),
        "auroc_ci": interval(block.get("auroc_ci")),
        "sort": block.get("auroc"),
        **shares,
        "threshold": number(block.get("threshold")),
        "why": "" if block.get("auroc") is not None else block.get("reason", "nothing to analyse").split(":")[0],
        "with_overlap": None if site["with_overlap"] is None else _auroc(site["with_overlap"]),
    }


def _auroc(block: Block) -> str:
    return estimate(block["auroc"], block["auroc_ci"])


def _share(block: Block, name: str) -> dict[str, Any]:
    value = block.get(name)
    bounds = block.get(f"{name}_ci")
    return {"value": value, "text": percent(value), "ci": _percents(bounds)}


def _percents(bounds: list[float] | None) -> str:
    return interval(None if bounds is None else [100 * bound for bound in bounds], digits=0)


def _percent(value: float | None, bounds: list[float] | None) -> str:
    return percent(value) + ("" if bounds is None else f" ({_percents(bounds)})")


def calibration_rows(result: Block) -> list[dict[str, str]]:
    """Return the calibration of each site with the frozen calibrators."""
    return [
        {
            "name": name,
            "observed": f"{site['calibration']['observed']:,} of {site['prevalence']['n']:,}",
            "expected": f"{site['calibration']['expected']:.1f}",
            "in_the_large": _moved(site["calibration"], "in_the_large"),
            "slope": _moved(site["calibration"], "slope"),
        }
        for name, site in result["sites"].items()
    ]


def _moved(block: Block, name: str) -> str:
    return estimate(block.get(name), block.get(f"{name}_ci"), 2)


def local_rows(result: Block) -> list[dict[str, Any]]:
    """Return what the frozen threshold does at each site, and what a local one would."""
    rows = []
    for name, site in result["sites"].items():
        block, local = pe_block(site) or {}, site["local"]
        thresholds = local.get("thresholds", [])
        rows.append(
            {
                "name": name,
                "frozen": number(block.get("threshold")),
                "local": f"{min(thresholds):.3f} to {max(thresholds):.3f}" if thresholds else "",
                "why": local["reason"],
                "shares": [_share(found, key) for found in (block, local) for key in ("sensitivity", "specificity")],
                "slope": number(local.get("slope"), 2),
                "slope_ci": interval(local.get("slope_ci"), 2),
            }
        )
    return rows


def subgroup_rows(result: Block) -> list[tuple[str, list[Row]]]:
    """Return the subgroups of each site that has any."""
    found = [
        (name, [Row(TITLES[one["attribute"]], one["value"], one, None) for one in site["subgroups"]])
        for name, site in result["sites"].items()
    ]
    return [(name, rows) for name, rows in found if rows]


def overlap_rows(result: Block) -> list[dict[str, Any]]:
    """Return the studies of each site that the model may have been made with, by how it is known."""
    return [
        {"site": name, "why": OUTCOME_TITLES[why], "n": len(studies), "studies": studies}
        for name, site in result["sites"].items()
        for why, studies in site["overlap"]["studies"].items()
        if studies
    ]


def overlap_notes(result: Block) -> list[str]:
    """Say what of the overlap could be looked for, and what couldn't."""
    model = result["model"]
    notes = [f"By study: {model['studies_it_was_made_with']:,} studies that the model was made with are known."]
    prints = model["training_fingerprints"]
    by_volume = f"{prints:,} volumes of the training have fingerprints in the bundle."
    notes.append(
        f"By volume: {by_volume if prints else 'not looked for, as the bundle has no fingerprints (bundle --store).'}"
    )
    stated = ", ".join(model["trained_on"])
    notes.append(f"By provenance: {f'sets of the training are {stated}.' if stated else 'no set was stated.'}")
    for name, site in result["sites"].items():
        others = {source: n for source, n in site["reference"].items() if source not in model["trained_on"]}
        if others:
            told = ", ".join(f"{source} ({n:,})" for source, n in others.items())
            notes.append(f"{name} says that its studies come from {told}; if the model was made with one, state it.")
    return notes


def summary_line(summary: Block) -> str:
    """Say what the sites show together, or why they can't be put together."""
    if summary["auroc"] is None:
        return f"no summary: {summary['reason']}"
    predicted = summary["prediction"]
    ahead = "" if predicted is None else f"; a further site would lie within {interval(predicted)}"
    return (
        f"random-effects mean of {len(summary['sites'])} sites: AUROC {estimate(summary['auroc'], summary['ci'])}, "
        f"tau2 {summary['tau2']:.3f}, I2 {100 * summary['i2']:.0f} %{ahead}"
    )


def site_lines(result: Block) -> list[str]:
    """Say of each site in one line how the model did."""
    lines = []
    for row in site_rows(result):
        figures = f"AUROC {row['auroc']} ({row['auroc_ci']})" if row["sort"] is not None else f"no AUROC: {row['why']}"
        calls = ", ".join(f"{key} {row[key]['text']}" for key in ("sensitivity", "specificity"))
        lines.append(f"{row['name']}: {row['n']} studies, {row['n_positive']} with PE; {figures}; {calls}")
    lines += [f"{name} isn't pooled: {why}" for name, why in result["summary"]["refused"].items()]
    return lines
