"""What a user gets wrong: exit 1, one line on stderr that says what to do, and no half-written output."""

import json
import shutil
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
import torch


def one_line(result, *parts: str) -> None:
    """Check that a command failed as promised."""
    assert result.code == 1, result.err
    assert result.err.count("\n") == 1, result.err
    assert result.err.startswith("pectl: ")
    assert all(part in result.err for part in parts), result.err


def no_result(path: Path) -> None:
    """Check that nothing was written that a later command would take for a result."""
    assert not path.exists()


def test_missing_folder(pectl, tmp_path: Path) -> None:
    result = pectl("preprocess", tmp_path / "nowhere", "--out", tmp_path / "store")
    one_line(result, str(tmp_path / "nowhere"), "; ")
    no_result(tmp_path / "store")


def test_folder_without_dicom(pectl, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("nothing to see")
    one_line(pectl("preprocess", tmp_path / "notes", "--out", tmp_path / "store"), str(tmp_path / "notes"), "DICOM")
    no_result(tmp_path / "store")


def test_labels_missing_or_without_a_column(chain, pectl, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    command = ("preprocess", chain.dicom, "--labels", labels, "--out", tmp_path / "store", "--config", chain.config)
    one_line(pectl(*command), str(labels))
    pd.read_csv(chain.labels, dtype=str).drop(columns="central_pe").to_csv(labels, index=False)
    one_line(pectl(*command), str(labels), "central_pe")
    no_result(tmp_path / "store")


def test_labels_that_break_a_rule(chain, pectl, tmp_path: Path) -> None:
    table = pd.read_csv(chain.labels, dtype=str)
    study = table.loc[table["negative_exam_for_pe"] == "1", "StudyInstanceUID"].iloc[0]
    table.loc[table["StudyInstanceUID"] == study, "indeterminate"] = "1"
    table.to_csv(tmp_path / "labels.csv", index=False)
    result = pectl(
        "preprocess",
        chain.dicom,
        "--labels",
        tmp_path / "labels.csv",
        "--out",
        tmp_path / "store",
        "--config",
        chain.config,
    )
    one_line(result, "labels.csv", study)
    no_result(tmp_path / "store")


def test_split_csv_that_forgets_studies(chain, pectl, tmp_path: Path) -> None:
    (tmp_path / "splits.csv").write_text("StudyInstanceUID,split\n1.2,train\n")
    result = pectl(
        "preprocess",
        chain.dicom,
        "--labels",
        chain.labels,
        "--out",
        tmp_path / "store",
        "--config",
        chain.config,
        "--set",
        "split.method=csv",
        "--set",
        f"split.csv={tmp_path / 'splits.csv'}",
        "--quiet",
    )
    one_line(result, "12 studies in no split")
    assert not (tmp_path / "store" / "store.json").exists()


def test_features_of_another_stage1(chain, pectl, tmp_path: Path) -> None:
    stamp = json.loads((chain.features / "features.json").read_text())
    other = tmp_path / "features"
    shutil.copytree(chain.features, other)
    (other / "features.json").write_text(json.dumps(stamp | {"digest": "f" * 64}))
    result = pectl("evaluate", other, "--stage2", chain.tcn, "--out", tmp_path / "out", "--config", chain.config)
    one_line(result, "f" * 64, stamp["digest"])
    no_result(tmp_path / "out")


def test_stage1_of_another_store(chain, pectl, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(chain.store, store)
    stamp = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps(stamp | {"digest": "e" * 64}))
    result = pectl("extract-features", store, "--stage1", chain.stage1, "--out", tmp_path / "f")
    one_line(result, "e" * 64, stamp["digest"])
    no_result(tmp_path / "f")


def test_folder_that_holds_other_features(chain, pectl, tmp_path: Path) -> None:
    other = tmp_path / "features"
    shutil.copytree(chain.features, other)
    stamp = json.loads((other / "begun.json").read_text())
    (other / "begun.json").write_text(json.dumps(stamp | {"digest": "d" * 64}))
    one_line(pectl("extract-features", chain.store, "--stage1", chain.stage1, "--out", other), "d" * 64)


def test_stages_swapped(chain, pectl, tmp_path: Path) -> None:
    result = pectl("extract-features", chain.store, "--stage1", chain.tcn, "--out", tmp_path / "f")
    one_line(result, "expected a run of pectl train-stage1, found one of stage2")
    result = pectl("train-stage1", chain.features, "--out", tmp_path / "r")
    one_line(result, "expected a file that pectl preprocess writes")
    no_result(tmp_path / "f")
    no_result(tmp_path / "r")


@pytest.mark.parametrize(("folder", "stamp_name"), [("store", "store.json"), ("features", "features.json")])
def test_store_of_another_version(chain, pectl, tmp_path: Path, folder: str, stamp_name: str) -> None:
    store = tmp_path / folder
    shutil.copytree(chain.root / folder, store)
    stamp = json.loads((store / stamp_name).read_text())
    (store / stamp_name).write_text(json.dumps(stamp | {"version": 99}))
    command = "train-stage1" if folder == "store" else "train-stage2"
    result = pectl(command, store, "--out", tmp_path / "run", "--config", chain.config)
    one_line(result, f"expected {stamp['format']} version {stamp['version']}, found {stamp['format']} version 99")
    no_result(tmp_path / "run")


@pytest.mark.parametrize(("folder", "command"), [("store", "train-stage1"), ("features", "train-stage2")])
def test_truncated_hdf5(chain, pectl, tmp_path: Path, folder: str, command: str) -> None:
    store = tmp_path / folder
    shutil.copytree(chain.root / folder, store)
    splits = pd.read_csv(store / "splits.csv", dtype=str).set_index("StudyInstanceUID")["split"]
    path = store / "studies" / f"{splits.index[splits == 'train'][0]}.h5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    result = pectl(command, store, "--out", tmp_path / "run", "--config", chain.config)
    one_line(result, str(path), "expected a whole HDF5 file, found a damaged one", "run pectl")
    no_result(tmp_path / "run")


def test_truncated_hdf5_at_extraction_leaves_no_finished_store(chain, pectl, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(chain.store, store)
    path = sorted((store / "studies").glob("*.h5"))[3]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    out = tmp_path / "f"
    result = pectl("extract-features", store, "--stage1", chain.stage1, "--out", out, "--quiet")
    one_line(result, str(path))
    assert not (out / "features.json").exists()
    assert not list(out.rglob("*.tmp"))
    shutil.copyfile(chain.store / "studies" / path.name, path)
    again = pectl("extract-features", store, "--stage1", chain.stage1, "--out", out, "--quiet")
    assert again.code == 0
    assert "features of 9 studies extracted" in again.out


def test_unknown_keys_and_bad_values_are_named_together(pectl, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[stage1]\nepoch = 3\nbatch_size = 0\n")
    result = pectl("train-stage1", tmp_path, "--out", tmp_path / "run", "--config", tmp_path / "c.toml")
    one_line(result, "stage1.epoch: unknown key", "epochs", "stage1.batch_size", "found 2 faults")
    no_result(tmp_path / "run")


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("stage1.epochs", "expected section.key=value"),
        ("seed.x.y=1", "seed: Input should be a valid integer (found {'x': {'y': 1}})"),
        ("stage1.epochs=many", "stage1.epochs"),
        ("nothing.here=1", "nothing: unknown key"),
    ],
)
def test_bad_override(pectl, tmp_path: Path, override: str, text: str) -> None:
    result = pectl("train-stage1", tmp_path, "--out", tmp_path / "run", "--set", override)
    one_line(result, text)
    no_result(tmp_path / "run")


def test_missing_config(pectl, tmp_path: Path) -> None:
    result = pectl("train-stage1", tmp_path, "--out", tmp_path / "run", "--config", tmp_path / "none.toml")
    one_line(result, str(tmp_path / "none.toml"))


def test_missing_gpu(chain, pectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    expected = "--device cuda: expected a CUDA device that torch can use, found none"
    shared = ("--device", "cuda", "--config", chain.config, "--out", tmp_path / "out")
    one_line(pectl("train-stage1", chain.store, *shared), expected)
    one_line(pectl("extract-features", chain.store, "--stage1", chain.stage1, *shared), expected)
    one_line(pectl("train-stage2", chain.features, *shared), expected)
    one_line(pectl("evaluate", chain.features, "--stage2", chain.tcn, *shared), expected)
    no_result(tmp_path / "out")


def test_kinetics_without_network(chain, pectl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("http", "https", "HTTP", "HTTPS"):
        monkeypatch.setenv(f"{kind}_proxy" if kind.islower() else f"{kind}_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(urllib.request, "_opener", None)  # it would remember earlier proxies
    result = pectl(
        "train-stage1",
        chain.store,
        "--out",
        tmp_path / "run",
        "--config",
        chain.config,
        "--device",
        "cpu",
        "--set",
        "stage1.backbone=r3d_18",
        "--set",
        "stage1.weights=kinetics400",
    )
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    one_line(result, "r3d_18-b3b3357e.pth", "SHA-256 begins b3b3357e", f"copy it to {cache}", "Connection refused")
    no_result(tmp_path / "run")
    assert not list((tmp_path / "torch").rglob("*.pth*"))


def test_unknown_backbone_and_missing_weights_file(chain, pectl, tmp_path: Path) -> None:
    command = ("train-stage1", chain.store, "--out", tmp_path / "run", "--config", chain.config)
    one_line(pectl(*command, "--set", "stage1.backbone=resnet50"), "expected one of r3d_18", "found resnet50")
    one_line(pectl(*command, "--set", "stage1.weights=w.pth"), "no file w.pth")
    no_result(tmp_path / "run")


def test_window_longer_than_a_study(chain, pectl, tmp_path: Path) -> None:
    result = pectl(
        "train-stage1", chain.store, "--out", tmp_path / "run", "--config", chain.config, "--set", "windows.length=64"
    )
    one_line(result, "windows.length = 64")
    no_result(tmp_path / "run")


def test_store_without_labels_cannot_train(chain, pectl, tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = pectl("preprocess", chain.dicom, "--out", store, "--config", chain.config, "--quiet")
    assert done.code == 0, done.err
    result = pectl("train-stage1", store, "--out", tmp_path / "run", "--config", chain.config)
    one_line(result, "expected windows with PE and windows without", "preprocess with --labels")
    no_result(tmp_path / "run")


def test_evaluation_of_studies_seen_in_training_is_refused(chain, pectl, tmp_path: Path) -> None:
    features = tmp_path / "features"
    shutil.copytree(chain.features, features)
    splits = pd.read_csv(features / "splits.csv", dtype=str)
    splits["split"] = splits["split"].map({"train": "test", "test": "train", "val": "val"})
    splits.to_csv(features / "splits.csv", index=False)
    result = pectl("evaluate", features, "--stage2", chain.tcn, "--out", tmp_path / "out", "--config", chain.config)
    one_line(result, "expected studies that the model hasn't seen")
    no_result(tmp_path / "out")


def test_empty_split(chain, pectl, tmp_path: Path) -> None:
    result = pectl(
        "evaluate",
        chain.features,
        "--stage2",
        chain.tcn,
        "--split",
        "holdout",
        "--out",
        tmp_path / "out",
        "--config",
        chain.config,
    )
    one_line(result, "expected studies in the split 'holdout', found none")
    no_result(tmp_path / "out")


@pytest.mark.parametrize("shard", ["3/2", "0/2", "1", "a/b", "-1/2"])
def test_usage_errors_exit_2(pectl, tmp_path: Path, shard: str) -> None:
    assert pectl("preprocess", tmp_path, "--out", tmp_path / "s", "--shard", shard).code == 2
    no_result(tmp_path / "s")


def test_more_usage_errors(pectl, tmp_path: Path) -> None:
    assert pectl("train-stage1", tmp_path).code == 2
    assert pectl("train-stage1", tmp_path, "--out", tmp_path / "r", "--device", "tpu").code == 2
    assert pectl("evaluate", "--out", tmp_path / "r").code == 2
    assert pectl("nonsense").code == 2
