"""The batch files: valid for bash, filled in, never overwritten."""

import subprocess
from pathlib import Path

import pytest

from pectl.config import Config, Stage1Config
from pectl.errors import ConfigError, OutputExistsError
from pectl.slurm.batch_files import Experiment, write_batch_files
from pectl.slurm.resources import STEPS, Resources, default_resources, override_resources

EXPERIMENT = Experiment(
    config=Path("e.toml"),
    dicom=Path("my dicom"),
    labels=Path("l.csv"),
    work=Path("it's work"),
    account="lab",
    partition="long",
    directives=("--mail-type=FAIL",),
)


@pytest.fixture(scope="module")
def defaults() -> dict[str, Resources]:
    return default_resources(Config(), 700, gpu=True)


@pytest.mark.parametrize("gpu", [True, False])
def test_batch_files_are_filled_in_and_valid_bash(tmp_path: Path, gpu: bool) -> None:
    needs = override_resources(
        default_resources(Config(), 700, gpu=gpu),
        ["preprocess.partition=short", "preprocess.at_once=5", "train-stage1.tasks=4", "train-stage1.time=2-12"],
    )
    paths = write_batch_files(EXPERIMENT, needs, tmp_path)
    assert [path.name for path in paths] == [*(f"{step}.sbatch" for step in STEPS), "submit.sh"]
    text = {path.name: path.read_text() for path in paths}
    for path in paths:
        subprocess.run(["bash", "-n", path], check=True)
        assert text[path.name].startswith("#!/bin/bash\n# ")
    batch = [text[f"{step}.sbatch"] for step in STEPS]
    assert ["--partition=short" in one for one in batch] == [True] + 5 * [False]
    assert ["--partition=long" in one for one in batch] == [False] + 5 * [True]
    for one in batch:
        assert "#SBATCH --account=lab\n" in one
        assert "#SBATCH --mail-type=FAIL\n" in one
        assert "'it'\"'\"'s work/" in one
        assert ("cuda" in one) == ("--gpus-per-node" in one)
    assert "#SBATCH --array=1-7%5\n" in text["preprocess.sbatch"]
    assert "DICOM='my dicom'\n" in text["preprocess.sbatch"]
    assert "#SBATCH --ntasks-per-node=4\n" in text["train-stage1.sbatch"]
    assert "#SBATCH --time=2-12\n" in text["train-stage1.sbatch"]
    assert ("#SBATCH --gpus-per-node=4\n" in text["train-stage1.sbatch"]) == gpu
    assert ("cuda" in "".join(batch)) == gpu


def test_resources_follow_from_the_experiment(defaults) -> None:
    assert {step: needs.tasks for step, needs in defaults.items() if needs.tasks > 1} == {
        "preprocess": 7,
        "extract-features": 4,
    }
    few = default_resources(Config(), 20, gpu=True)
    assert (few["preprocess"].tasks, few["extract-features"].tasks) == (1, 1)
    many = default_resources(Config(), 100_000, gpu=False)
    assert many["preprocess"].tasks == 32
    assert many["train-stage1"].time == "24:00:00"
    assert int(few["train-stage1"].time[:2]) < int(defaults["train-stage1"].time[:2])
    assert all(needs.gpus == 0 for needs in many.values())
    assert defaults["train-stage1"].mem == "16G"
    large = Config(stage1=Stage1Config(batch_size=64))
    assert int(default_resources(large, 20, gpu=False)["train-stage1"].mem[:-1]) >= 48  # activations of 64 windows


@pytest.mark.parametrize("override", ["train.time=1", "evaluate.speed=9", "evaluate=9", "time=9", "evaluate.time"])
def test_unknown_resources_are_refused(defaults, override: str) -> None:
    with pytest.raises(ConfigError, match=r"expected STEP\.KEY=VALUE, found '.*steps are preprocess, train-stage1, .*"):
        override_resources(defaults, [override])


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("evaluate.time=soon", "minutes, HH:MM:SS or D-HH, found 'soon'"),
        ("evaluate.mem=16GB", "a size such as 16G, found '16GB'"),
        ("train-stage1.cpus=0", "a number from 1, found '0'"),
        ("train-stage1.gpus=two", "a number from 0, found 'two'"),
        ("preprocess.at_once=0", "a number from 1, found '0'"),
    ],
)
def test_values_that_sbatch_would_not_take_are_refused(defaults, override: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"--resource {override.partition('=')[0]}: expected {expected}"):
        override_resources(defaults, [override])


def test_batch_files_are_not_overwritten(defaults, tmp_path: Path) -> None:
    write_batch_files(EXPERIMENT, defaults, tmp_path)
    (tmp_path / "preprocess.sbatch").unlink()
    with pytest.raises(OutputExistsError, match=r"train-stage1\.sbatch: expected a folder without batch files, found"):
        write_batch_files(EXPERIMENT, defaults, tmp_path)
    assert not (tmp_path / "preprocess.sbatch").exists()
