"""The commands one after another, as a user types them, on a tiny cohort."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pectl.cli.app import app
from pectl.core.labels.names import EXAM_LABELS

COMMANDS = tuple(command.name for command in app.registered_commands)
MEASURES = {
    "n",
    "n_positive",
    "auroc",
    "auroc_ci",
    "ci_method",
    "average_precision",
    "threshold",
    "sensitivity",
    "sensitivity_ci",
    "specificity",
    "specificity_ci",
    "brier",
    "ece",
}
HEAVY = ("torch", "pandas", "pydicom", "numpy", "scipy", "sklearn", "matplotlib", "h5py", "cv2", "pydantic")


def test_help_lists_all_commands_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv = ['pectl', '--help']\nfrom pectl.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert ended.code == 0\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    text, _, heavy = done.stdout.rpartition("HEAVY ")
    assert heavy.strip() == "[]"
    assert all(f" {name} " in text for name in COMMANDS)
    assert "Research use only, not for diagnosis" in text


WITHOUT_EXPERIMENT = {"layouts", "bundle", "info", "predict", "listen", "predict-for"}
"""Commands that a finished model tells all they need."""


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(pectl, command: str) -> None:
    result = pectl(command, "--help")
    assert result.code == 0
    if command not in WITHOUT_EXPERIMENT:
        assert ("{config}" if command == "slurm" else "--config") in result.out
        assert "--set" in result.out


def test_store_holds_all_studies_in_disjoint_splits(chain) -> None:
    splits = pd.read_csv(chain.store / "splits.csv", dtype=str)
    assert len(splits) == splits["StudyInstanceUID"].nunique() == 12
    assert set(splits["split"]) == {"train", "val", "test"}
    assert len(list((chain.store / "studies").glob("*.h5"))) == 12


@pytest.mark.parametrize("folder", ["stage1", "tcn", "gru"])
def test_run_folder_is_as_documented(chain, folder: str) -> None:
    run = chain.root / folder
    for name in ("config.toml", "metrics.csv", "run.json", "splits.csv", "status.json"):
        assert (run / name).is_file()
    for checkpoint in ("last", "best"):
        assert (run / "checkpoints" / checkpoint / "model.safetensors").is_file()
        assert (run / "checkpoints" / checkpoint / "model.json").is_file()
    assert (run / "checkpoints" / "last" / "state.pt").is_file()
    assert json.loads((run / "status.json").read_text())["state"] == "done"
    assert json.loads((run / "run.json").read_text())["use"] == "research use only, not for diagnosis"
    for made in ("cohort", "store", "features", folder):
        assert not list((chain.root / made).rglob("*.tmp"))


@pytest.mark.parametrize("model", ["tcn", "gru"])
def test_metrics_have_the_documented_schema(evaluated, model: str) -> None:
    metrics = json.loads((evaluated.root / f"evaluation-{model}" / "metrics.json").read_text())
    splits = pd.read_csv(evaluated.store / "splits.csv", dtype=str)
    assert metrics["split"] == "test"
    assert metrics["n_studies"] == (splits["split"] == "test").sum()
    blocks = [metrics["window"]["pe_present"], metrics["image"]["pe_present"]]
    blocks += [metrics["exam"][name] for name in (*EXAM_LABELS, "pe_present")]
    assert all(set(block) >= MEASURES for block in blocks)
    assert 0 < metrics["window"]["pe_present"]["n_positive"] < metrics["window"]["pe_present"]["n"]
    assert math.isfinite(metrics["competition"]["weighted_log_loss"])
    assert metrics["consistency"]["violations"] == 0
    assert math.isfinite(metrics["consistency"]["cost"])


def test_evaluation_leaves_tables_and_a_page(evaluated) -> None:
    folder = evaluated.root / "evaluation-tcn"
    for name in ("window.csv", "image.csv", "exam.csv", "submission.csv", "config.toml"):
        assert (folder / name).stat().st_size > 0
    pages = list(folder.glob("*.html"))
    assert pages
    assert "research use only" in pages[0].read_text().lower()
    images = pd.read_csv(folder / "image.csv", dtype={"StudyInstanceUID": str, "SOPInstanceUID": str})
    labels = pd.read_csv(evaluated.labels, dtype=str)
    joined = images.merge(labels, on=["StudyInstanceUID", "SOPInstanceUID"], suffixes=("", "_true"))
    assert len(joined) == len(images) > 0
    assert (joined["label"] == joined["pe_present_on_image"].astype(int)).all()


def test_same_seed_same_metrics(evaluated, pectl, tmp_path: Path) -> None:
    shared = ("--config", evaluated.config, "--quiet")
    steps = [
        ("preprocess", evaluated.dicom, "--labels", evaluated.labels, "--out", tmp_path / "store"),
        ("train-stage1", tmp_path / "store", "--out", tmp_path / "stage1"),
        ("extract-features", tmp_path / "store", "--stage1", tmp_path / "stage1", "--out", tmp_path / "features"),
        ("train-stage2", tmp_path / "features", "--out", tmp_path / "tcn"),
        ("evaluate", tmp_path / "features", "--stage2", tmp_path / "tcn", "--out", tmp_path / "evaluation"),
    ]
    assert [pectl(*step, *shared).code for step in steps] == [0] * 5
    first = (evaluated.root / "evaluation-tcn" / "metrics.json").read_bytes()
    assert (tmp_path / "evaluation" / "metrics.json").read_bytes() == first


def test_shards_make_the_same_features_and_the_last_finishes(chain, pectl, tmp_path: Path) -> None:
    out = tmp_path / "features"
    for shard in ("1/2", "2/2"):
        assert not (out / "features.json").exists()
        result = pectl(
            "extract-features",
            chain.store,
            "--stage1",
            chain.stage1,
            "--out",
            out,
            "--shard",
            shard,
            "--quiet",
            "--config",
            chain.config,
        )
        assert result.code == 0
        assert "features of 6 studies extracted" in result.out
    assert (out / "features.json").read_bytes() == (chain.features / "features.json").read_bytes()
    again = pectl("extract-features", chain.store, "--stage1", chain.stage1, "--out", out, "--config", chain.config)
    assert "features of 0 studies extracted" in again.out


def test_shard_defaults_to_the_slurm_array(chain, pectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ID": "5", "MIN": "4", "MAX": "6", "COUNT": "3", "STEP": "1"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    result = pectl(
        "extract-features", chain.store, "--stage1", chain.stage1, "--out", tmp_path / "f", "--config", chain.config
    )
    assert "features of 4 studies extracted" in result.out


def test_stopped_training_exits_75_and_resumes_to_the_same_weights(
    chain, pectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pectl.training import stage1

    augment, calls = stage1.augment, []

    def stop_once(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return augment(*arguments)

    monkeypatch.setattr(stage1, "augment", stop_once)
    command = ("train-stage1", chain.store, "--out", tmp_path / "run", "--config", chain.config, "--quiet")
    stopped = pectl(*command)
    assert stopped.code == 75
    assert stopped.err.count("\n") == 1
    assert "run the command again with --resume" in stopped.err
    assert not (tmp_path / "run" / "run.json").exists()
    unfinished = pectl("extract-features", chain.store, "--stage1", tmp_path / "run", "--out", tmp_path / "f")
    assert unfinished.code == 1
    assert not (tmp_path / "f").exists()
    assert pectl(*command, "--resume").code == 0
    for name in ("metrics.csv", "checkpoints/best/model.safetensors", "checkpoints/last/model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (chain.stage1 / name).read_bytes()


def test_existing_run_is_resumed_only_if_asked_and_unchanged(chain, pectl) -> None:
    command = ("train-stage1", chain.store, "--out", chain.stage1, "--config", chain.config, "--quiet")
    refused = pectl(*command)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "add --resume to go on with it" in refused.err
    other = pectl(*command, "--resume", "--seed", 9)
    assert (other.code, other.err.count("\n")) == (1, 1)
    assert "expected the run's own seed = 0, found seed = 9; resume with the same configuration, or accept" in other.err
