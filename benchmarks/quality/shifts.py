"""Trained models on phantoms scanned in other ways: `robustness.md`, `robustness.json`.

    python -m benchmarks.quality.shifts --out quality --seed 0

The studies are new to the models, and the same anatomies, emboli and seeds under every shift, so that differences are
paired. Calibration and thresholds are those fitted on the validation split of the unshifted cohort.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.quality.chain import Chain, Experiment
from benchmarks.quality.paired import (
    Draws,
    Results,
    Statistic,
    Tables,
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
from benchmarks.quality.variants import OURS, VARIANTS
from pectl.core.labels.names import PE_PRESENT
from pectl.core.statistics.bootstrap import replicate_ratio
from pectl.core.storage.stamp import RESEARCH_USE

UNSHIFTED = "none"
COHORT_SEED = 2000
"""No training cohort has it, nor that on which the measure of contrast was made (1000)."""
SHIFTS = {
    UNSHIFTED: (),
    "sharp kernels": ('phantom.kernels=["LUNG", "B60f"]',),
    "noise doubled": ("phantom.noise_hu=[16.0, 30.0]",),
    "faint contrast": ("phantom.contrast_hu=[180.0, 240.0]",),
    "matrix 256": ("phantom.matrix_px=256",),
    "slices 1.5 mm apart": ("phantom.slices=192",),
    "slices 5 mm thick, 5 mm apart": ("phantom.slices=58", "phantom.thickness_to_step=[1.0]"),
}


def main() -> None:
    """Make each shifted cohort, apply the models, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.shifts", description=__doc__.split("\n")[0])
    parser.add_argument("--config", type=Path, default=Path("sample_configs/phantom.toml"))
    parser.add_argument("--out", type=Path, required=True, help="folder of python -m benchmarks.quality")
    parser.add_argument("--seed", type=int, default=0, help="of the models that were trained there")
    parser.add_argument("--variants", nargs="*", default=[], choices=list(VARIANTS), metavar="NAME", help="beside ours")
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="as they were trained")
    parser.add_argument("--studies", type=int, default=60, help="of each cohort")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    experiment = Experiment(given.config, given.out, tuple(given.overrides), given.workers)
    chains = {name: experiment.chain(VARIANTS[name], given.seed) for name in dict.fromkeys([OURS, *given.variants])}
    results: dict[str, Results] = {}
    for name, chain in chains.items():
        folders = {shift: _evaluated(chain, shift, given.studies, given.workers) for shift in SHIFTS}
        results[name] = _measured({shift: Tables.read(folder) for shift, folder in folders.items()})
    text = _report(results, given.studies)
    (given.out / "robustness.md").write_text(text)
    found = {name: plain(rows) for name, rows in results.items()}
    (given.out / "robustness.json").write_text(json.dumps(found, indent=2))
    print(text)


def _evaluated(chain: Chain, shift: str, studies: int, workers: int) -> Path:
    """Return the evaluation of a model on a shifted cohort."""
    folder = chain.experiment.out / "shifts" / shift.replace(" ", "-").replace(",", "")
    store, features = folder / "store", folder / "features" / chain.stage1.name
    evaluation = folder / "evaluation" / chain.evaluation.name
    if not (store / "studies.csv").exists():
        make_shifted_store(chain.pectl, folder, (f"phantom.studies={studies}", *SHIFTS[shift]), workers)
    if not (features / "studies.csv").exists():
        chain.pectl("extract-features", store, "--stage1", chain.stage1, "--out", features)
    if not (evaluation / "metrics.json").exists():
        chain.pectl("evaluate", features, "--stage2", chain.stage2, "--out", evaluation)
    return evaluation


def make_shifted_store(pectl: Callable[..., None], folder: Path, changes: tuple[str, ...], workers: int) -> None:
    """Make phantoms, and the store of them, in `folder`: all are test studies.

    Args:
        pectl: runs a command, as `Chain.pectl`.
        folder: `cohort`, `splits.csv` and `store` go there.
        changes: of the configuration.
        workers: processes.
    """
    cohort, splits = folder / "cohort", folder / "splits.csv"
    pectl("phantom", cohort, "--workers", workers, changes=changes, seed=COHORT_SEED)
    labels = cohort / "train.csv"
    uids = pd.read_csv(labels, dtype=str)["StudyInstanceUID"].unique()
    pd.DataFrame({"StudyInstanceUID": uids, "split": "test"}).to_csv(splits, index=False)
    pectl(
        "preprocess",
        cohort / "train",
        "--labels",
        labels,
        "--out",
        folder / "store",
        "--workers",
        workers,
        changes=("split.method=csv", f"split.csv={splits.resolve()}"),
    )


def _measured(tables: dict[str, Tables]) -> Results:
    draws = Draws.over(pd.Index(sorted(tables[UNSHIFTED].exam["StudyInstanceUID"])))
    return measure_all({name: [part] for name, part in tables.items()}, MEASURES, draws)


def _report(results: dict[str, Results], studies: int) -> str:
    """Return a table for each model, and its differences to ours, as Markdown."""
    head = f"{studies} studies under each shift; intervals by a bootstrap over studies. {RESEARCH_USE}"
    ours, blocks = results[OURS], [head]
    for name, rows in results.items():
        blocks.append(table(f"scanned otherwise, {name}", rows, value_text))
        if rows is not ours:
            gaps = {shift: differences(ours[shift], row) for shift, row in rows.items()}
            blocks.append(table(f"ours minus {name}", gaps, difference_text))
    return "\n\n".join(blocks) + "\n"


def _error(power: int) -> Statistic:
    """Mean power of the calibrated probability of PE less the truth: 2 is the Brier score, 1 the mean excess."""

    def statistic(tables: Tables, draws: Draws) -> NDArray[np.float64]:
        part = tables.exam[tables.exam[f"{PE_PRESENT}_truth"].notna()]
        error = (part[f"{PE_PRESENT}_calibrated"] - part[f"{PE_PRESENT}_truth"]).to_numpy(np.float64)
        return replicate_ratio(error**power, np.ones_like(error), draws.rows(part), draws.weights)

    return statistic


MEASURES = {
    "window AUROC": window_auroc("score"),
    "window sensitivity": window_sensitivity,
    "window specificity": window_specificity,
    "pe_present AUROC": exam_auroc(PE_PRESENT),
    "pe_present Brier score": _error(2),
    "mean probability - prevalence": _error(1),
}


if __name__ == "__main__":
    main()
