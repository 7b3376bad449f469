"""Train variants on one phantom cohort with the same seeds, and write how they compare: `quality.md`, `quality.json`.

    python -m benchmarks.quality --out quality --seeds 0 1 --variants ours ma2022

Run again, or with more variants, it does what is missing.
"""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from benchmarks.quality.chain import Chain, Experiment, by_training
from benchmarks.quality.paired import (
    Draws,
    Results,
    Tables,
    common_windows,
    competition_loss,
    difference_text,
    exam_auroc,
    measure,
    plain,
    table,
    value_text,
    window_auroc,
    window_sensitivity,
    window_specificity,
)  # fmt: skip
from benchmarks.quality.variants import OURS, VARIANTS
from pectl.core.data.predictions import PE_PRESENT
from pectl.core.data.stamp import RESEARCH_USE

EXAM_LABELS = (PE_PRESENT, "leftsided_pe", "rightsided_pe", "central_pe", "rv_lv_ratio_gte_1", "chronic_pe")
MEASURES = {
    "window AUROC": window_auroc("score"),
    "window AUROC, stage 1": window_auroc("stage1_score"),
    "window sensitivity": window_sensitivity,
    "window specificity": window_specificity,
    **{f"{label} AUROC": exam_auroc(label) for label in EXAM_LABELS},
    "competition loss": competition_loss,
}


def main() -> None:
    """Parse, train, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.split("\n")[0])
    parser.add_argument("--config", type=Path, default=Path("sample_configs/phantom.toml"), help="what is 'ours'")
    parser.add_argument("--out", type=Path, required=True, help="folder of everything that is made")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="each variant is trained with each")
    parser.add_argument("--variants", nargs="+", default=[OURS, "ma2022"], choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="of all variants: key=value")
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side")
    parser.add_argument("--threads", type=int, default=1, help="of each training")
    parser.add_argument("--report", default="quality", help="name of the report's files")
    given = parser.parse_args()
    experiment = Experiment(given.config, given.out, tuple(given.overrides), given.threads)
    experiment.make_store(workers=given.jobs * given.threads)
    names = list(dict.fromkeys([OURS, *given.variants]))
    chains = {name: [experiment.chain(VARIANTS[name], seed) for seed in given.seeds] for name in names}
    _train([chain for seeds in zip(*chains.values(), strict=True) for chain in seeds], given.jobs)
    results, about = _measured({name: [Tables.read(one.evaluation) for one in seeds] for name, seeds in chains.items()})
    text = _report(results, about | {"seeds": given.seeds})
    (given.out / f"{given.report}.md").write_text(text)
    (given.out / f"{given.report}.json").write_text(json.dumps(plain(results), indent=2))
    print(text)


def _train(chains: Sequence[Chain], jobs: int) -> None:
    """Do what is missing; chains that share a training follow each other."""
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda group: [chain.evaluate() for chain in group], by_training(chains)))


def _measured(tables: dict[str, list[Tables]]) -> tuple[Results, dict[str, object]]:
    """Measure every variant on the windows and studies that all have."""
    everything = [part for seeds in tables.values() for part in seeds]
    windows, exam = common_windows(everything), everything[0].exam
    draws = Draws.over(pd.Index(sorted(exam["StudyInstanceUID"])))
    results: Results = {}
    for name, seeds in tables.items():
        chosen = [part.on(windows) for part in seeds]
        results[name] = {what: measure(chosen, statistic, draws) for what, statistic in MEASURES.items()}
    return results, {
        "studies": len(exam), "with PE": int(exam["pe_present_truth"].sum()), "windows": len(windows),
        "replicates": draws.weights.shape[1] - 1,
    }  # fmt: skip


def _report(results: Results, about: dict[str, object]) -> str:
    """Return both tables as Markdown."""
    head = "Test split: " + ", ".join(f"{what} {value}" for what, value in about.items()) + f". {RESEARCH_USE}"
    ours = results[OURS]
    others = {name: row for name, row in results.items() if name != OURS}
    gaps = {name: {what: ours[what] - row[what] for what in row} for name, row in others.items()}
    blocks = [head, table("variant", results, value_text)]
    if gaps:
        blocks.append(table("ours minus", gaps, difference_text))
    return "\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    main()
