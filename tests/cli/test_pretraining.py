"""Pretraining on one cohort and going on with another: the recipe of docs/how-to/pretrain.md on tiny phantoms."""

import json
import logging
import shutil
from pathlib import Path

import pandas as pd
import pytest

from pectl.core.models.checkpoint import load_stage1
from pectl.phantom.cohort import make_cohort
from tests.cli.conftest import Chain, run_ok
from tests.cli.test_bad_input import one_line
from tests.tiny import tiny_phantom


@pytest.fixture(scope="module")
def going_on(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Train on another cohort from the weights of the chain's stage 1, with one head more."""
    made = Chain(tmp_path_factory.mktemp("going_on"))
    make_cohort(made.root / "cohort", tiny_phantom(studies=8), seed=1)
    shared = ("--config", chain.config, "--quiet")
    run_ok("preprocess", made.dicom, "--labels", made.labels, "--out", made.store, *shared)
    run_ok("train-stage1", made.store, "--out", made.stage1, *shared, *from_weights(chain.stage1))
    return made


def from_weights(weights: Path) -> tuple[str, ...]:
    rate = "stage1.learning_rate=1e-12"  # so that the first weights are still seen in the last
    choices = (f"stage1.weights={weights}", rate, "stage1.multitask_loss_weight=0.5")
    return tuple(part for choice in choices for part in ("--set", choice))


def test_training_goes_on_from_the_weights_of_the_run_before(chain: Chain, going_on: Chain) -> None:
    before, after = (load_stage1(run / "checkpoints" / "best") for run in (chain.stage1, going_on.stage1))
    new = after.state_dict()
    for name, value in before.named_parameters():
        assert (new[name] - value).abs().max() < 1e-9
    assert after.multitask_head is not None
    described = json.loads((going_on.stage1 / "run.json").read_text())
    assert described["pretrained"] == {
        "weights": str(chain.stage1),
        "begun_anew": ["multitask_head", "age_head", "context"],
        "left_out": [],
    }
    assert described["made_from"]["weights"] == json.loads((chain.stage1 / "run.json").read_text())["digest"]


def test_heads_that_begin_anew_are_told(
    chain: Chain, going_on: Chain, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="pectl"):
        run_ok(
            "train-stage1",
            going_on.store,
            "--out",
            tmp_path,
            "--config",
            chain.config,
            "--quiet",
            *from_weights(chain.stage1),
        )
    assert f"stage1.weights = {chain.stage1}: multitask_head begins anew" in caplog.messages


def test_what_the_weights_were_trained_on_counts_as_seen(chain: Chain, going_on: Chain, pectl, tmp_path: Path) -> None:
    """The run keeps the studies of the run before, so features of them are refused as a measurement."""
    splits = pd.read_csv(chain.store / "splits.csv", dtype=str)
    swapped = tmp_path / "store"
    shutil.copytree(chain.store, swapped)
    splits.replace({"split": {"train": "test", "test": "train"}}).to_csv(swapped / "splits.csv", index=False)
    seen = sorted(splits.loc[splits["split"] == "train", "StudyInstanceUID"])
    one = ("--config", chain.config, "--quiet")
    result = pectl("extract-features", swapped, "--stage1", going_on.stage1, "--out", tmp_path / "f", *one)
    one_line(result, f"found {len(seen)} it was trained on, such as {seen[0]}")
    assert not (tmp_path / "f").exists()
    result = pectl("train-stage1", swapped, "--out", tmp_path / "r", *one, *from_weights(chain.stage1))
    one_line(result, f"{chain.stage1}: expected studies that the model hasn't seen", seen[0])
    assert not (tmp_path / "r").exists()
