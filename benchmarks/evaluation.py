"""The rows of the speed table about evaluation: AUROC, bootstrap, labels, memory; RSPECT's sizes, made-up values."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks.timing import Row, shortest
from pectl.core.labels.names import EXAM_LABELS, QA_LABELS
from pectl.core.statistics.bootstrap import replicate_auroc, study_weights
from pectl.core.statistics.ranking import auroc

STUDIES, IMAGES_PER_STUDY = 7_200, 249
WINDOWS, REPLICATES = 180_000, 1000
_READ_OURS = (
    "from pathlib import Path; from pectl.core.labels.table import read_labels; read_labels(Path({path!r})).image"
)
_READ_PANDAS = "import pandas as pd; pd.read_csv({path!r})"


def evaluation_rows(folder: Path) -> list[Row]:
    """Measure all; files go to `folder`."""
    labels, predictions = folder / "train.csv", folder / "predictions.csv"
    write_tables(labels, predictions)
    return [_auroc(), _cluster_bootstrap(), _labels(labels), _evaluate(predictions, labels, folder / "evaluation")]


def write_tables(labels: Path, predictions: Path, *, studies: int = STUDIES) -> None:
    """Write labels of RSPECT's layout, and a model's predictions in the competition's."""
    rng = np.random.default_rng(0)
    uids = np.array([f"{i:012x}" for i in range(studies)])
    positive = rng.random(studies) < 0.3
    exam = pd.DataFrame(0, index=range(studies), columns=[*EXAM_LABELS, *QA_LABELS])
    exam["negative_exam_for_pe"] = (~positive).astype(int)
    exam["rightsided_pe"] = exam["rv_lv_ratio_lt_1"] = positive.astype(int)
    study = np.repeat(np.arange(studies), IMAGES_PER_STUDY)
    slot = np.tile(np.arange(IMAGES_PER_STUDY), studies)
    present = positive[study] & (slot < 40)
    images = np.array([f"{i + 2**40:012x}" for i in range(study.size)])
    table = exam.iloc[study].reset_index(drop=True)
    table.insert(0, "StudyInstanceUID", uids[study])
    table.insert(1, "SeriesInstanceUID", uids[study])
    table.insert(2, "SOPInstanceUID", images)
    table.insert(3, "pe_present_on_image", present.astype(int))
    table.to_csv(labels, index=False)
    truth = exam[list(EXAM_LABELS)].to_numpy()
    scores = 1 / (1 + np.exp(-(2 * truth - 1 + rng.normal(size=truth.shape))))
    ids = [f"{uid}_{name}" for uid in uids for name in EXAM_LABELS]
    image_scores = 1 / (1 + np.exp(-(2 * present - 2 + rng.normal(size=present.size))))
    both = {"id": np.concatenate([ids, images]), "label": np.concatenate([scores.ravel(), image_scores])}
    pd.DataFrame(both).to_csv(predictions, index=False, float_format="%.6f")


def _auroc() -> Row:
    rng = np.random.default_rng(0)
    label, score = rng.random(1_800_000) < 0.05, rng.random(1_800_000)
    mine, theirs = shortest(lambda: auroc(label, score)), shortest(lambda: roc_auc_score(label, score))
    return ("AUROC of 1.8 million scores", f"{mine:.3f} s", f"scikit-learn {theirs:.3f} s", f"{theirs / mine:.1f}")


def _cluster_bootstrap() -> Row:
    """The baseline is a loop over replicates, of which a few are run; the values are compared on these."""
    rng = np.random.default_rng(0)
    study = np.sort(rng.integers(0, STUDIES, WINDOWS))
    label = rng.random((len(EXAM_LABELS), WINDOWS)) < 0.1
    score = np.round(rng.random(label.shape) + 0.3 * label, 3)
    weights = study_weights(STUDIES, replicates=REPLICATES, seed=0)
    few = 3

    def ours() -> list[np.ndarray]:
        return [replicate_auroc(*pair, study, weights) for pair in zip(label, score, strict=True)]

    def loop() -> list[list[float]]:
        return [
            [roc_auc_score(*pair, sample_weight=weights[study, k]) for k in range(few)]
            for pair in zip(label, score, strict=True)
        ]

    mine, theirs = shortest(ours, repeats=1), shortest(loop, repeats=1) * REPLICATES / few
    difference = np.abs(np.array(ours())[:, :few] - loop()).max()
    name = "1,000 cluster-bootstrap replicates, 9 labels, 180,000 windows"
    baseline = f"scikit-learn loop {theirs:.0f} s, equal to {difference:.0e}"
    return (name, f"{mine:.2f} s", baseline, f"{theirs / mine:.0f}")


def _labels(path: Path) -> Row:
    (mine, memory), (theirs, their_memory) = (
        _measured(text.format(path=str(path))) for text in (_READ_OURS, _READ_PANDAS)
    )
    name = "read and check a train.csv of 1.79 million rows"
    baseline = f"pandas, unchecked {theirs:.2f} s, {their_memory:.0f} MB"
    return (name, f"{mine:.2f} s, {memory:.0f} MB", baseline, f"{theirs / mine:.2f}")


def _evaluate(predictions: Path, labels: Path, out: Path) -> Row:
    arguments = ["evaluate", "--predictions", str(predictions), "--labels", str(labels), "--out", str(out), "--quiet"]
    seconds, memory = _measured(f"from pectl.cli.app import app; app({arguments!r}, standalone_mode=False)")
    return ("pectl evaluate, 1.79 million images, all of it", f"{seconds:.0f} s, {memory:.0f} MB", "", "")


def _measured(code: str) -> tuple[float, float]:
    """Return the seconds of code in a new process, without imports, and the process' peak memory in MB."""
    before = "import pathlib, re, time, pandas, pectl.core.labels.table; t = time.perf_counter()"
    peak = r"re.search(r'VmHWM:\s+(\d+)', pathlib.Path('/proc/self/status').read_text())[1]"
    program = f"{before}; {code}; print(); print(time.perf_counter() - t, {peak})"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    seconds, kilobytes = done.stdout.split()[-2:]
    return float(seconds), float(kilobytes) / 1000
