"""The tiny chain with the sections of each sample configuration: what it chooses works together."""

import json
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Chain, Run

FILES = sorted((Path(__file__).parents[2] / "sample_configs").glob("*.toml"))
LONGEST = ("phantom", "phantom_realistic")
"""To draw the cohorts that they ask for."""
SHRUNK = (
    "preprocess.slice_spacing_mm=6.0",
    "preprocess.in_plane_px=32",
    "preprocess.min_slices=8",
    "split.val_fraction=0.3",
    "split.test_fraction=0.3",
    "stage1.backbone=slim_16",
    "stage1.weights=none",
    "stage1.input_px=32",
    "stage1.epochs=1",
    "stage2.hidden=8",
    "stage2.epochs=1",
    "evaluate.bootstrap_replicates=100",
    "phantom.studies=12",
    "phantom.matrix_px=64",
    "phantom.slices=30",
)


def cases() -> list[object]:
    slow = {name: [pytest.mark.slow] for name in LONGEST}
    return [pytest.param(path, marks=slow.get(path.stem, []), id=path.stem) for path in FILES]


@pytest.mark.parametrize("config", cases())
def test_the_chain_runs(config: Path, chain: Chain, pectl: Run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("pectl.core.labels.splits._MA2022_HELD_OUT", 3)  # of 12 studies, as 1,000 of 7,279
    words = [word for change in SHRUNK for word in ("--set", change)]

    def run(*command: object) -> None:
        result = pectl(*command, "--config", config, "--quiet", *words)
        assert result.code == 0, result.err

    made = Chain(tmp_path)
    if "phantom" in tomllib.loads(config.read_text()):
        run("phantom", made.cohort)
        run("preprocess", made.cohort, "--layout", "phantom", "--out", made.store)
    else:
        run("preprocess", chain.dicom, "--labels", chain.labels, "--out", made.store)
    run("train-stage1", made.store, "--out", made.stage1)
    run("extract-features", made.store, "--stage1", made.stage1, "--out", made.features)
    run("train-stage2", made.features, "--out", made.stage2)
    run("evaluate", made.features, "--stage2", made.stage2, "--out", made.evaluation)
    splits = pd.read_csv(made.store / "splits.csv", dtype=str)["split"]
    assert set(splits) == {"train", "val", "test"}
    metrics = json.loads((made.evaluation / "metrics.json").read_text())
    assert metrics["n_studies"] == (splits == "test").sum()
    assert 0 <= metrics["window"]["pe_present"]["brier"] <= 1
