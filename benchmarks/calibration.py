"""Compare the kinds of calibration on predictions whose truth is known: `python -m benchmarks.calibration CSV LABELS`.

Each kind is fitted on one part of the studies and judged on the rest, many times over random parts; of the nine exam
labels and PE it prints the mean log loss and the mean expected calibration error.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss

from pectl.core.decisions.calibration import fit_calibrator
from pectl.core.labels.names import EXAM_LABELS, PE_PRESENT
from pectl.core.labels.predictions import pe_score, pe_truth
from pectl.core.statistics.metrics import expected_calibration_error

KINDS = ("none", "temperature", "platt", "isotonic")
SHARES, REPEATS = (0.5, 0.25, 0.1), 20


def main() -> None:
    """Print the table for each share of studies to fit on."""
    exam, truth = (pd.read_csv(Path(path), dtype={"StudyInstanceUID": str}) for path in sys.argv[1:3])
    scores = exam.set_index("StudyInstanceUID")[list(EXAM_LABELS)].astype(float)
    labels = truth.set_index("StudyInstanceUID").loc[scores.index, list(EXAM_LABELS)].astype(float)
    scores, labels = (
        scores.assign(**{PE_PRESENT: pe_score(scores)}),
        labels.assign(**{PE_PRESENT: pe_truth(labels, "exclude")}),
    )
    print(f"{len(scores)} studies, {REPEATS} random parts\n\n| fitted on | kind | log loss | ECE | not fitted |")
    print("|---|---|---|---|---|")
    for share in SHARES:
        for kind in KINDS:
            rows = [row for seed in range(REPEATS) for row in judge(scores, labels, kind, share=share, seed=seed)]
            loss, error, unfitted = np.mean(rows, axis=0)
            print(f"| {round(share * len(scores))} | {kind} | {loss:.4f} | {error:.4f} | {unfitted:.1%} |")


def judge(
    scores: pd.DataFrame, labels: pd.DataFrame, kind: str, *, share: float, seed: int
) -> list[tuple[float, float, bool]]:
    """Return log loss and ECE of each label on the studies that weren't fitted on, and whether it was not fitted."""
    chosen = np.random.default_rng(seed).random(len(scores)) < share
    rows = []
    for name in scores:
        known = labels[name].notna().to_numpy()
        label, score = labels[name].to_numpy() == 1, scores[name].to_numpy(np.float64)
        calibrator = fit_calibrator(label[known & chosen], score[known & chosen], kind)
        found, wanted = calibrator.apply(score[known & ~chosen]), label[known & ~chosen]
        loss = log_loss(wanted, np.clip(found, 1e-7, 1 - 1e-7), labels=[False, True])
        rows.append((loss, expected_calibration_error(wanted, found), calibrator.reason is not None))
    return rows


if __name__ == "__main__":
    main()
