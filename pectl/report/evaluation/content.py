"""What the evaluation report says: rows, sentences and cases, as plain values for the template."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pectl.core.labels.names import ALL_STUDIES, CENTRAL, EXAM_LABELS, PE_PRESENT
from pectl.report.text import LABEL_TITLES, METHOD_TITLES, interval, number, percent, share

Block = Mapping[str, Any]

_N_CASES = 10
_UNIT_TITLES = {
    ("window", PE_PRESENT): "PE in window, both stages",
    ("window", "pe_present_stage1"): "PE in window, stage 1 alone",
    ("image", PE_PRESENT): "PE in image",
}
_ASIDE = ("pe_present_as_negative", "pe_present_excluded")


@dataclass(frozen=True)
class Row:
    """One line of the headline table: a block of `metrics.json`, and the published one if comparable."""

    level: str
    title: str
    block: Block
    paper: Block | None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The AUROC's interval."""
        found = self.block["auroc_ci"]
        return None if found is None else (found[0], found[1])

    @property
    def asks_for_pe(self) -> bool:
        """Whether a positive call means PE, counted as the configuration says."""
        return self.title == LABEL_TITLES[PE_PRESENT] or self.level != "study"


@dataclass(frozen=True)
class Cell:
    """A number of a table: by which it is sorted, as it is written, and what stands small below it."""

    value: float | None
    text: str
    small: str


@dataclass(frozen=True)
class WorstCase:
    """A study that the model got wrong: what it says, and what is true."""

    study: str
    score: float
    truth: str
    claims: str


def headline_rows(metrics: Block) -> list[Row]:
    """Return the rows: PE present, both ways of counting, then the nine labels, windows and images."""
    paper = metrics["paper"] or {}
    exam = metrics["exam"] or {}
    order = [name for name in (PE_PRESENT, *_ASIDE, *EXAM_LABELS, *ALL_STUDIES) if name in exam]
    rows = [Row("study", LABEL_TITLES[name], exam[name], paper.get("exam", {}).get(name)) for name in order]
    for (level, name), title in _UNIT_TITLES.items():
        if metrics[level] is not None:
            rows.append(Row(level, title, metrics[level][name], paper.get(level, {}).get(name)))
    return rows


def axis_start(rows: list[Row]) -> float:
    """Return where the AUROC bars begin: 0.5, or the tenth below the lowest bound."""
    bounds = [row.bounds[0] for row in rows if row.bounds]
    lowest = min([0.5, *bounds])
    return int(lowest * 10) / 10


def cards(metrics: Block) -> list[dict[str, str]]:
    """Return the few numbers that a reader wants first."""
    found = []
    exam, window, image = metrics["exam"], metrics["window"], metrics["image"]
    if exam:
        block = exam[PE_PRESENT]
        found += [
            _auroc_card("Study AUROC", block, "is there PE in the study?"),
            _share_card("Sensitivity", block, "of studies with PE found"),
            _share_card("Specificity", block, "of studies without PE cleared"),
        ]
    for title, level in (("Window AUROC", window), ("Image AUROC", image)):
        if level:
            block = level[PE_PRESENT]
            found.append(_card(title, number(block["auroc"]), interval(block["auroc_ci"]), "where is the PE?"))
    loss = metrics["competition"]["weighted_log_loss"]
    if loss is not None:
        found.append(_card("Competition loss", number(loss), "", "weighted log loss; lower is better"))
    return found


def summary(metrics: Block) -> str | None:
    """Say in one sentence what the model did at its frozen threshold; None without studies of both kinds."""
    block = (metrics["exam"] or {}).get(PE_PRESENT)
    if block is None or block["sensitivity"] is None or block["specificity"] is None:
        return None
    counts = block["confusion"]
    with_pe, without = counts["tp"] + counts["fn"], counts["fp"] + counts["tn"]
    return (
        f"Of {with_pe:,} studies with PE the model found {counts['tp']:,} and missed {counts['fn']:,}; "
        f"of {without:,} without PE it cleared {counts['tn']:,} and raised {counts['fp']:,} false alarms."
    )


def band_promises(band: Block) -> list[str]:
    """Say what the abstain band promises on each side, or why it promises nothing."""
    confidence = "on average over calibrations; with 95 % confidence"
    out = (
        f"At most {share(band['miss_rate_bound'])} of new studies with PE score below {number(band['rule_out'])} and "
        f"are ruled out ({confidence} {share(band['miss_rate_sure'])})."
    )
    called = (
        f"At most {share(band['false_alarm_rate_bound'])} of new studies without PE reach {number(band['rule_in'])} "
        f"and are ruled in ({confidence} {share(band['false_alarm_rate_sure'])})."
    )
    few = "Too few studies {} PE were fitted on to promise {}: none is ruled {}."
    return [
        out if band["rule_out"] > 0 else few.format("with", share(band["miss_rate_bound"]), "out"),
        called if band["rule_in"] <= 1 else few.format("without", share(band["false_alarm_rate_bound"]), "in"),
    ]


def worst_cases(exam: pd.DataFrame, threshold: float) -> tuple[list[WorstCase], list[WorstCase]]:
    """Return the missed studies with the lowest scores, and the false alarms with the highest.

    Args:
        exam: `exam.csv`, index StudyInstanceUID.
        threshold: frozen, of PE present.
    """
    by = f"{PE_PRESENT}_calibrated"
    called, truth = exam[by] >= threshold, exam[f"{PE_PRESENT}_truth"]
    missed = exam[(truth == 1) & ~called].sort_values(by, kind="stable")
    alarms = exam[(truth == 0) & called].sort_values(by, kind="stable", ascending=False)
    return _cases(missed), _cases(alarms)


def methods(metrics: Block) -> list[str]:
    """Return the interval methods that were used, in words."""
    blocks = [row.block for row in headline_rows(metrics)]
    names = {block[key] for block in blocks for key in ("ci_method", "proportion_ci_method")} - {None}
    return sorted(METHOD_TITLES[name] for name in names)


ATTRIBUTE_TITLES = {
    "kernel": "Kernel",
    "manufacturer": "Manufacturer",
    "slice step": "Slice step",
    "qa_motion": "Motion",
    "qa_contrast": "Poor contrast",
    "flow_artifact": "Flow artefact",
    "true_filling_defect_not_pe": "Filling defect that is no PE",
    CENTRAL: "Central PE",
    "positive slices": "Slices with PE",
    "embolus volume": "Embolus volume",
}


def subgroup_rows(metrics: Block) -> list[Row]:
    """Return a row for each subgroup, its attribute as the level."""
    return [Row(ATTRIBUTE_TITLES[item["attribute"]], item["value"], item, None) for item in metrics["subgroups"]]


def row_cells(row: Row) -> dict[str, str]:
    """Return the text of the row's cells in the tables of results and of subgroups."""
    block, paper = row.block, row.paper or {}
    shares = ("sensitivity", "specificity", "ppv", "npv")
    cells = {name: percent(block.get(name)) for name in shares}
    cells |= {f"{name}_ci": _percents(block.get(f"{name}_ci")) for name in shares}
    return cells | {
        "auroc": number(block["auroc"]),
        "auroc_ci": interval(block["auroc_ci"]),
        "auroc_ci_bootstrap": interval(block["auroc_ci_bootstrap"]) if block.get("auroc_ci_bootstrap") else "",
        "threshold": number(block.get("threshold")),
        "rule": _rule(block.get("threshold_rule", "")),
        "paper": number(paper.get("auroc")),
        "paper_ci": interval(paper.get("auroc_ci")) if paper.get("auroc_ci") else "",
        "paper_calls": _paper_calls(paper),
    }


def probability_cells(row: Row) -> list[Cell]:
    """Return the cells of the table of probabilities, each with what it was before calibration if that differs."""
    block = row.block
    measures = ("average_precision", "f1", "log_loss", "brier", "ece")
    cells = [_cell(block[name], block.get(f"{name}_raw")) for name in measures]
    cells += [_cell(block[name], None, digits=2) for name in ("calibration_slope", "calibration_intercept")]
    return cells


def _cell(value: float | None, before: float | None, digits: int = 3) -> Cell:
    text = number(value, digits)
    raw = "" if before is None or number(before, digits) == text else f"raw {number(before, digits)}"
    return Cell(value, text, raw)


def _rule(rule: str) -> str:
    """Write how a threshold was fitted, for the small print of a cell."""
    return (
        "not fitted"
        if rule.startswith(("not fitted", "fixed"))
        else rule.replace("target-", "").replace("youden", "Youden")
    )


def _paper_calls(paper: Block) -> str:
    if "sensitivity" not in paper:
        return ""
    return f"{percent(paper['sensitivity'])} at {percent(paper['specificity'])}"


def _auroc_card(title: str, block: Block, note: str) -> dict[str, str]:
    return _card(title, number(block["auroc"]), interval(block["auroc_ci"]), note)


def _share_card(title: str, block: Block, note: str) -> dict[str, str]:
    name = title.lower()
    return _card(title, percent(block[name]), _percents(block[f"{name}_ci"]), note)


def _card(title: str, value: str, bounds: str, note: str) -> dict[str, str]:
    return {"title": title, "value": value, "bounds": bounds, "note": note}


def _percents(bounds: list[float] | None) -> str:
    return interval(None if bounds is None else [100 * bound for bound in bounds], digits=0)


def _cases(exam: pd.DataFrame) -> list[WorstCase]:
    return [_case(row) for _, row in exam[:_N_CASES].iterrows()]


def _case(row: "pd.Series[Any]") -> WorstCase:
    true = [LABEL_TITLES[name] for name in EXAM_LABELS if row[f"{name}_truth"] == 1]
    said = [
        f"{LABEL_TITLES[name]} ({row[f'{name}_consistent']:.2f})"
        for name in EXAM_LABELS
        if row[f"{name}_consistent"] > 0.5
    ]
    return WorstCase(str(row.name), float(row[f"{PE_PRESENT}_calibrated"]), ", ".join(true), ", ".join(said))
