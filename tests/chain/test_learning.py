"""The chain learns a cohort that is made to be learnt, and learns nothing where labels are shuffled between studies."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from pectl.cli.app import app

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

DEMO = str(Path(__file__).parents[2] / "sample_configs" / "demo.toml")


def _run(*arguments: object) -> None:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_demo_learns(tmp_path, seed):
    _run("demo", "--config", DEMO, "--out", tmp_path, "--seed", seed, "--quiet")
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert metrics["window"]["pe_present"]["auroc"] >= 0.85
    assert metrics["exam"]["pe_present"]["auroc"] >= 0.80


def test_shuffled_labels_teach_nothing(tmp_path):
    cohort, store, stage1, features, stage2 = (tmp_path / name for name in ("cohort", "store", "s1", "features", "s2"))
    shared = ("--config", DEMO, "--quiet")
    _run("phantom", cohort, "--workers", 2, *shared)
    _shuffle_labels_between_studies(cohort)
    _run("preprocess", cohort / "train", "--labels", cohort / "shuffled.csv", "--out", store, "--workers", 2, *shared)
    _run("train-stage1", store, "--out", stage1, *shared)
    _run("extract-features", store, "--stage1", stage1, "--out", features, *shared)
    _run("train-stage2", features, "--out", stage2, *shared)
    _run("evaluate", features, "--stage2", stage2, "--out", tmp_path / "evaluation", *shared)
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    low, high = metrics["exam"]["pe_present"]["auroc_ci"]
    assert low <= 0.5 <= high


def _shuffle_labels_between_studies(cohort: Path) -> None:
    """Give each study the labels of another, slice by slice from feet to head."""
    table = pd.read_csv(cohort / "train.csv", dtype=dict.fromkeys(("StudyInstanceUID", "SOPInstanceUID"), str))
    by_sop = table.set_index("SOPInstanceUID")
    truth = {path.stem: np.load(path)["sop_instance_uid"] for path in sorted((cohort / "truth").glob("*.npz"))}
    uids = list(truth)
    donors = np.random.default_rng(0).permutation(uids)
    identity = ["StudyInstanceUID", "SeriesInstanceUID"]
    rows = []
    for uid, donor in zip(uids, donors, strict=True):
        labels = by_sop.loc[truth[donor]].drop(columns=identity).set_index(pd.Index(truth[uid], name="SOPInstanceUID"))
        rows.append(by_sop.loc[truth[uid], identity].join(labels))
    shuffled = pd.concat(rows).reset_index()[list(table.columns)]
    shuffled.to_csv(cohort / "shuffled.csv", index=False)
