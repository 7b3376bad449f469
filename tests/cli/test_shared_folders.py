"""Folders that several people or commands share: the rights of what is written, and two commands at once."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def holder() -> Iterator[dict]:
    """What the heartbeat of another, living, command says."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield {
            "state": "running",
            "pid": process.pid,
            "host": os.uname().nodename,
            "started": "2026-01-01T00:00:00+00:00",
            "updated": "2026-01-01T00:00:00+00:00",
        }
        process.kill()


def arguments(chain, command: str) -> list[object]:
    """Return a long command without its --out."""
    dicom = (chain.dicom, "--labels", chain.labels)
    stages = ("--stage1", chain.stage1, "--stage2", chain.tcn, "--split", "test")
    given = {
        "validate": dicom,
        "preprocess": dicom,
        "train-stage1": (chain.store, "--resume"),
        "extract-features": (chain.store, "--stage1", chain.stage1),
        "train-stage2": (chain.features, "--resume"),
        "explain": (chain.store, *stages),
    }
    return [command, *given[command], "--config", chain.config, "--quiet"]


@pytest.mark.parametrize(
    "command", ["phantom", "validate", "preprocess", "train-stage1", "extract-features", "train-stage2", "explain"]
)
def test_a_second_command_is_told_who_holds_the_folder(chain, pectl, tmp_path: Path, holder: dict, command) -> None:
    (tmp_path / "status.json").write_text(json.dumps(holder))
    if command == "phantom":
        result = pectl("phantom", tmp_path, "--config", chain.config, "--quiet")
    else:
        result = pectl(*arguments(chain, command), "--out", tmp_path)
    assert (result.code, result.err.count("\n")) == (1, 1), result.err
    assert f"found process {holder['pid']} on {holder['host']}, at work since 2026-01-01T00:00:00+00:00" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_shares_of_the_work_go_on_beside_each_other(chain, pectl, tmp_path: Path, holder: dict) -> None:
    (tmp_path / "status-1-of-2.json").write_text(json.dumps(holder))
    assert pectl(*arguments(chain, "preprocess"), "--out", tmp_path, "--shard", "2/2").code == 0
    again = pectl(*arguments(chain, "preprocess"), "--out", tmp_path, "--shard", "1/2")
    assert f"found process {holder['pid']} on" in again.err
    assert "delete status-1-of-2.json" in again.err


def test_a_group_can_read_and_change_all_files_of_a_run(chain, pectl, tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        for command in ("train-stage1", "extract-features", "train-stage2", "explain"):
            assert pectl(*arguments(chain, command), "--out", tmp_path / command).code == 0
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"model.safetensors", "state.pt", "run.json", "status.json"} <= {path.name for path in files}
    wrong = {str(path.relative_to(tmp_path)) for path in files if path.stat().st_mode & 0o777 != 0o664}
    assert wrong == set()
