"""Chains trained side by side, measured on the same studies, and the report of how they compare."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from benchmarks.quality.chain import Chain, by_training
from benchmarks.quality.paired import (
    Draws,
    Results,
    Tables,
    common_windows,
    competition_loss,
    difference_text,
    differences,
    exam_auroc,
    measure_all,
    plain,
    table,
    value_text,
    window_auroc,
    window_sensitivity,
    window_specificity,
)
from pectl.core.labels.names import PE_PRESENT
from pectl.core.storage.stamp import RESEARCH_USE

EXAM_LABELS = (PE_PRESENT, "leftsided_pe", "rightsided_pe", "central_pe", "rv_lv_ratio_gte_1", "chronic_pe")
MEASURES = {
    "window AUROC": window_auroc("score"),
    "window AUROC, stage 1": window_auroc("stage1_score"),
    "window sensitivity": window_sensitivity,
    "window specificity": window_specificity,
    **{f"{label} AUROC": exam_auroc(label) for label in EXAM_LABELS},
    "competition loss": competition_loss,
}


def compare(chains: Mapping[str, Sequence[Chain]], *, jobs: int, report: Path) -> str:
    """Train what is missing of each variant's chains, one for each seed, and write `report`.md and .json.

    The first variant is what the others are compared with. Returns the report, in Markdown.
    """
    _train([chain for seeds in zip(*chains.values(), strict=True) for chain in seeds], jobs)
    results, about = _measured({name: [Tables.read(one.evaluation) for one in seeds] for name, seeds in chains.items()})
    text = _report(results, about | {"seeds": [one.seed for one in next(iter(chains.values()))]})
    report.with_suffix(".md").write_text(text)
    report.with_suffix(".json").write_text(json.dumps(plain(results), indent=2))
    return text


def _train(chains: Sequence[Chain], jobs: int) -> None:
    """Do what is missing; chains that share a training follow each other."""
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda group: [chain.evaluate() for chain in group], by_training(chains)))


def _measured(tables: dict[str, list[Tables]]) -> tuple[Results, dict[str, object]]:
    """Measure every variant on the windows and studies that all have."""
    everything = [part for seeds in tables.values() for part in seeds]
    windows, exam = common_windows(everything), everything[0].exam
    draws = Draws.over(pd.Index(sorted(exam["StudyInstanceUID"])))
    chosen = {name: [part.on(windows) for part in seeds] for name, seeds in tables.items()}
    return measure_all(chosen, MEASURES, draws), {
        "studies": len(exam),
        "with PE": int(exam["pe_present_truth"].sum()),
        "windows": len(windows),
        "replicates": draws.weights.shape[1] - 1,
    }


def _report(results: Results, about: dict[str, object]) -> str:
    """Return both tables as Markdown."""
    head = "Test split: " + ", ".join(f"{what} {value}" for what, value in about.items()) + f". {RESEARCH_USE}"
    (first, one), *others = results.items()
    gaps = {name: differences(one, row) for name, row in others}
    blocks = [head, table("variant", results, value_text)]
    if gaps:
        blocks.append(table(f"{first} minus", gaps, difference_text))
    return "\n\n".join(blocks) + "\n"
