"""One trained model on phantoms scanned in other ways: `robustness.md`, `robustness.json`.

    python -m benchmarks.quality.shifts --out quality --seed 0

The studies are new to the model, and the same anatomies, emboli and seeds under every shift, so that differences are
paired. Calibration and thresholds are those fitted on the validation split of the unshifted cohort.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.quality.chain import Chain, Experiment
from benchmarks.quality.paired import (
    Draws,
    Measured,
    Statistic,
    Tables,
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
from pectl.analysis.bootstrap import replicate_ratio
from pectl.core.data.predictions import PE_PRESENT
from pectl.core.data.stamp import RESEARCH_USE

UNSHIFTED = "none"
COHORT_SEED = 1000
"""No training cohort has it."""
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
    """Make each shifted cohort, apply the model, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.shifts", description=__doc__.split("\n")[0])
    parser.add_argument("--config", type=Path, default=Path("sample_configs/phantom.toml"))
    parser.add_argument("--out", type=Path, required=True, help="folder of python -m benchmarks.quality")
    parser.add_argument("--seed", type=int, default=0, help="of the model that was trained there")
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="as it was trained")
    parser.add_argument("--studies", type=int, default=60, help="of each cohort")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    experiment = Experiment(given.config, given.out, tuple(given.overrides), given.workers)
    chain = experiment.chain(VARIANTS[OURS], given.seed)
    folders = {name: _evaluated(chain, name, given.studies, given.workers) for name in SHIFTS}
    results = _measured({name: Tables.read(folder) for name, folder in folders.items()})
    head = f"{given.studies} studies under each shift; intervals by a bootstrap over studies. {RESEARCH_USE}"
    text = f"{head}\n\n{table('scanned otherwise', results, value_text)}\n"
    (given.out / "robustness.md").write_text(text)
    (given.out / "robustness.json").write_text(json.dumps(plain(results), indent=2))
    print(text)


def _evaluated(chain: Chain, shift: str, studies: int, workers: int) -> Path:
    """Return the evaluation of the model on a shifted cohort."""
    folder = chain.experiment.out / "shifts" / shift.replace(" ", "-").replace(",", "")
    evaluation, splits = folder / "evaluation", folder / "splits.csv"
    if (evaluation / "metrics.json").exists():
        return evaluation
    changes = (f"phantom.studies={studies}", *SHIFTS[shift])
    chain.pectl("phantom", folder / "cohort", "--workers", workers, changes=changes, seed=COHORT_SEED)
    labels = folder / "cohort" / "train.csv"
    uids = pd.read_csv(labels, dtype=str)["StudyInstanceUID"].unique()
    pd.DataFrame({"StudyInstanceUID": uids, "split": "test"}).to_csv(splits, index=False)
    test = ("split.method=csv", f"split.csv={splits.resolve()}")
    chain.pectl(
        "preprocess", folder / "cohort" / "train", "--labels", labels, "--out", folder / "store", "--workers", workers,
        changes=test,
    )  # fmt: skip
    chain.pectl("extract-features", folder / "store", "--stage1", chain.stage1, "--out", folder / "features")
    chain.pectl("evaluate", folder / "features", "--stage2", chain.stage2, "--out", evaluation)
    return evaluation


def _measured(tables: dict[str, Tables]) -> dict[str, dict[str, Measured]]:
    draws = Draws.over(pd.Index(sorted(tables[UNSHIFTED].exam["StudyInstanceUID"])))
    return {
        name: {what: measure([part], statistic, draws) for what, statistic in MEASURES.items()}
        for name, part in tables.items()
    }


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
