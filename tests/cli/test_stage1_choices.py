"""Choices of stage 1, from the configuration to what a user finds: heads in metrics.csv, scaling in later commands."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pectl.config import WindowsConfig, load_config
from pectl.core.batches.contrast import contrast_gain
from pectl.core.batches.intensity import prepare
from pectl.core.batches.windows import window_starts
from pectl.core.labels.names import MULTITASK_LABELS
from pectl.core.models.checkpoint import load_stage1, load_stage2
from pectl.core.stores.feature_store import FeatureStore
from pectl.core.stores.study_store import StudyStore
from pectl.steps.chain import load_chain
from tests.cli.conftest import Chain, run_ok

CHOICES = (
    "windows.hu_scaling=per-slice",
    "stage1.norm=group",
    "stage1.multitask_loss_weight=0.5",
    "stage1.augment.contrast_gain=[0.8, 1.25]",
    "stage1.epochs=2",
)


@pytest.fixture(scope="module")
def chosen(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Train both stages with all choices; later commands are told the configuration without them."""
    made = Chain(tmp_path_factory.mktemp("chosen"))
    shutil.copytree(chain.store, made.store)
    studies = pd.read_csv(made.store / "studies.csv", dtype={"StudyInstanceUID": str})
    last = studies.groupby("negative_exam_for_pe").cumcount(ascending=False)  # three of either kind to validate on
    split = pd.Series(np.where(last < 3, "val", "train"), name="split")
    pd.concat([studies["StudyInstanceUID"], split], axis=1).to_csv(made.store / "splits.csv", index=False)
    shared = ("--config", chain.config, "--quiet")
    choices = [part for choice in CHOICES for part in ("--set", choice)]
    run_ok("train-stage1", made.store, "--out", made.stage1, *shared, *choices)
    exact = ("--set", "stage1.extract_precision=fp32")  # auto is bf16 where the CPU has it
    run_ok("extract-features", made.store, "--stage1", made.stage1, "--out", made.features, *shared, *exact)
    run_ok("train-stage2", made.features, "--out", made.stage2, *shared)
    return made


def test_metrics_hold_the_multitask_heads_and_the_curves_are_drawn(chosen: Chain) -> None:
    table = pd.read_csv(chosen.stage1 / "metrics.csv")
    studies = pd.read_csv(chosen.store / "studies.csv")
    splits = pd.read_csv(chosen.store / "splits.csv")
    judged = studies[(splits["split"] == "val") & (studies["negative_exam_for_pe"] == 0)]
    heads = [f"val_{name}_auroc" for name in MULTITASK_LABELS if judged[name].nunique() == 2]
    assert 0 < len(heads) < 6
    assert list(table.columns) == ["epoch", "train_loss", "val_loss", "val_window_auroc", *heads, "learning_rate"]
    assert table.notna().all(axis=None)
    assert (chosen.stage1 / "learning_curves.png").stat().st_size > 0


def test_later_commands_scale_hu_as_the_run_did_whatever_their_own_configuration(chosen: Chain) -> None:
    described = json.loads((chosen.stage1 / "run.json").read_text())
    windows = WindowsConfig.model_validate(described["windows"])
    assert windows.hu_scaling == "per-slice"
    encoder = load_stage1(chosen.stage1 / "checkpoints" / "best")
    assert (encoder.spec.norm, encoder.spec.multitask) == ("group", True)
    store = StudyStore.open(chosen.store)
    study = store.read_study(store.uids()[0])
    spans = window_starts(len(study.hu), length=6, stride=3)[:, None] + np.arange(6)
    hu, gain = torch.from_numpy(study.hu[spans]), torch.from_numpy(contrast_gain([study.vessel_hu], windows))
    assert gain != 1
    x = {
        scaling: prepare(hu, gain, windows.model_copy(update={"hu_scaling": scaling}), 32)
        for scaling in ("per-slice", "fixed")
    }
    with torch.inference_mode():
        wanted, other = (encoder.forward_features(x[scaling]).pooled.numpy() for scaling in ("per-slice", "fixed"))
    found = FeatureStore.open(chosen.features).read(study.uid).features
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
    assert np.abs(found - other).max() > 1e-2
    other_config = load_config(None, [])
    made = load_chain(
        chosen.stage1, chosen.stage2, label="pe_window", method="grad-cam", config=other_config, device="cpu"
    )
    logits = made.explainer.explain(study).window_logit
    np.testing.assert_allclose(logits, FeatureStore.open(chosen.features).read(study.uid).window_logit, atol=1e-3)


def test_a_run_with_heads_is_resumed_to_the_bit(chain: Chain, chosen: Chain, tmp_path: Path) -> None:
    choices = [part for choice in CHOICES for part in ("--set", choice)]
    command = ("train-stage1", chosen.store, "--out", tmp_path, "--config", chain.config, "--quiet", *choices)
    run_ok(*command, "--set", "stage1.epochs=1")
    run_ok(*command, "--set", "stage1.epochs=2", "--resume-changed")
    for name in ("metrics.csv", "checkpoints/last/model.safetensors", "checkpoints/best/model.safetensors"):
        assert (tmp_path / name).read_bytes() == (chosen.stage1 / name).read_bytes()


def test_places_are_learnt_where_the_store_has_them_and_are_asked_for_elsewhere(chain: Chain, pectl, tmp_path) -> None:
    store, shared = tmp_path / "store", ("--config", chain.config, "--quiet")
    made = pectl("preprocess", chain.root / "cohort", "--layout", "phantom", "--out", store, *shared)
    assert made.code == 0, made.err
    losses = []
    for weight in (0.0, 1.0):
        run, places = tmp_path / f"run-{weight}", f"stage1.place_loss_weight={weight}"
        trained = pectl("train-stage1", store, "--out", run, *shared, "--set", places)
        assert trained.code == 0, trained.err
        losses.append(pd.read_csv(run / "metrics.csv")["train_loss"].iloc[0])
    assert losses[1] > losses[0] + 0.5  # of places, about 2 ln 2 at first
    refused = pectl("train-stage1", chain.store, "--out", tmp_path / "none", *shared, "--set", places)
    assert refused.code == 1
    assert "expected studies to train on whose emboli are marked, in places/, found none of" in refused.err
    assert not (tmp_path / "none").exists()


def test_stage_2_knows_where_a_feature_tells_the_age(chosen: Chain, chain: Chain) -> None:
    encoder = load_stage1(chosen.stage1 / "checkpoints" / "best")
    features = FeatureStore.open(chosen.features)
    assert encoder.age_at == features.age_at == 128
    classifier = load_stage2(chosen.stage2 / "checkpoints" / "best")
    assert classifier.spec.age_at == 128
    assert classifier.members[0].age is not None
    assert FeatureStore.open(chain.features).age_at is None  # no multitask heads
