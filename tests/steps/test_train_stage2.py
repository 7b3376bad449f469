"""What a training of stage 2 leaves: decisions fitted on validation, and on nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pectl.config import Config, load_config
from pectl.core.decisions.decisions import Decisions
from pectl.core.storage.files import read_json
from pectl.core.stores.feature_store import FeatureStore, write_sequence
from pectl.core.stores.paths import study_path
from pectl.steps.train_stage2 import train_stage2
from tests.tiny import tiny_config
from tests.tiny_runs import make_tiny_runs


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """A feature store in which every second study has PE, on its two last images."""
    runs = make_tiny_runs(tmp_path / "runs")
    for place, uid in enumerate(FeatureStore.open(runs.features).studies.index):
        relabel(runs.features, uid, positive=place % 2 == 0)
    return runs.features


def relabel(features: Path, uid: str, *, positive: bool) -> None:
    """Give a study and its images other labels."""
    sequence = FeatureStore.open(features).read(uid)
    source = replace(sequence.source, label=np.array([0, 0, positive, positive], np.int8))
    window_label = np.array([positive, 0, 0, 0, 0, 0], np.int8)
    write_sequence(study_path(features, uid), replace(sequence, source=source, window_label=window_label))
    table = pd.read_csv(features / "studies.csv", index_col=0)
    table.loc[uid, ["negative_exam_for_pe", "leftsided_pe"]] = (0.0, 1.0) if positive else (1.0, 0.0)
    table.to_csv(features / "studies.csv")


def decisions(features: Path, out: Path) -> str:
    """Train, and return what was decided."""
    (out.parent / "config.toml").write_text(tiny_config())
    config: Config = load_config(out.parent / "config.toml", ["stage2.epochs=1"])
    train_stage2(features, out, config, device="cpu", resume="no", progress=lambda *_: None)
    return (out / "decisions.json").read_text()


def test_labels_of_test_change_no_decision_and_those_of_validation_do(features: Path, tmp_path: Path) -> None:
    before = decisions(features, tmp_path / "before")
    fusion = Decisions.from_json(read_json(tmp_path / "before" / "decisions.json", made_by="")).image_fusion
    assert (fusion.kind, fusion.reason) == ("logistic", None)
    store = FeatureStore.open(features)
    for uid in store.uids("test"):
        relabel(features, uid, positive=store.studies.loc[uid, "leftsided_pe"] == 0)
    assert decisions(features, tmp_path / "test") == before
    relabel(features, store.uids("val")[0], positive=store.studies.loc[store.uids("val")[0], "leftsided_pe"] == 0)
    after = decisions(features, tmp_path / "val")
    assert Decisions.from_json(read_json(tmp_path / "val" / "decisions.json", made_by="")).image_fusion != fusion
    assert after != before


def test_validation_without_a_positive_image_leaves_the_mean_and_the_reason(features: Path, tmp_path: Path) -> None:
    for uid in FeatureStore.open(features).uids("val"):
        relabel(features, uid, positive=False)
    decisions(features, tmp_path / "run")
    fusion = Decisions.from_json(read_json(tmp_path / "run" / "decisions.json", made_by="")).image_fusion
    assert (fusion.kind, fusion.slice_weight, fusion.context_weight, fusion.intercept) == ("mean", 0.5, 0.5, 0.0)
    assert fusion.reason == "not fitted: 0 of 20 validation images are positive"
    assert "val_window_auroc" not in read_json(tmp_path / "run" / "run.json", made_by="")["best"]
