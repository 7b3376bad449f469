"""The batch files: valid for bash, filled in, never overwritten."""

import subprocess
from pathlib import Path

import pytest

from pectl.config import Config, Stage1Config
from pectl.errors import ConfigError, OutputExistsError
from pectl.slurm.batch_files import Experiment, write_batch_files
from pectl.slurm.resources import STEPS, Resources, default_resources, limit_seconds, override_resources

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


@pytest.mark.parametrize("time", ["2", "1:59", "00:04:59", "0-00:04"])
def test_a_limit_that_is_shorter_than_the_warning_before_it_is_refused(defaults, time: str) -> None:
    said = "--resource train-stage1.time: expected at least 5 minutes: the job is warned 120 s before its end, found"
    with pytest.raises(ConfigError, match=f"{said} '{time}'; give it more: it would be warned at once"):
        override_resources(defaults, [f"train-stage1.time={time}"])
    assert override_resources(defaults, [f"evaluate.time={time}"])["evaluate"].time == time  # isn't warned


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("5", 300),
        ("90:30", 5430),
        ("01:02:03", 3723),
        ("2-12", 216_000),
        ("1-00:30", 88_200),
        ("1-01:01:01", 90_061),
        ("0", 0),
    ],
)
def test_limits_as_sbatch_reads_them(defaults, time: str, seconds: int) -> None:
    assert limit_seconds(time) == seconds
    assert override_resources(defaults, [f"preprocess.time={time}"])["preprocess"].time == time


@pytest.fixture
def submit(defaults, tmp_path: Path):
    """Write batch files and run submit.sh with programs in the place of Slurm's; the arguments of sbatch are kept."""
    programs = tmp_path / "programs"
    programs.mkdir()

    def run(*, answer: str, limit: str | None, tasks: int = 7) -> tuple[int, str, list[str]]:
        needs = override_resources(defaults, [f"preprocess.tasks={tasks}", "preprocess.at_once=5"])
        write_batch_files(EXPERIMENT, needs, tmp_path / "jobs")
        log = tmp_path / "sbatch.log"
        fakes = {"sbatch": f'echo "$@" >> {log}\necho "$(wc -l < {log}){answer}"'}
        if limit is not None:
            fakes["scontrol"] = f'echo "Configuration data"\necho "MaxArraySize            = {limit}"'
        for name, text in fakes.items():
            (programs / name).write_text(f"#!/bin/bash\n{text}\n")
            (programs / name).chmod(0o755)
        done = subprocess.run(
            ["bash", tmp_path / "jobs" / "submit.sh"],
            env={"PATH": f"{programs}:/usr/bin:/bin"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr, log.read_text().splitlines() if log.exists() else []

    return run


@pytest.mark.parametrize("answer", ["", ";cluster1"])
def test_the_whole_chain_is_submitted_on_a_federation_too(submit, answer: str) -> None:
    code, said, submitted = submit(answer=answer, limit="1001")
    assert code == 0, said
    waits = [line.split()[1] for line in submitted[1:]]
    assert waits == [f"--dependency=afterok:{job}" for job in range(1, 6)]
    assert "evaluate: job 6\n" in said


@pytest.mark.parametrize(("tasks", "fits"), [(1000, True), (1001, False)])
def test_more_tasks_than_the_cluster_allows_are_refused_before_anything_is_submitted(
    submit, tasks: int, fits: bool
) -> None:
    code, said, submitted = submit(answer="", limit="1001", tasks=tasks)
    assert (code, len(submitted)) == ((0, 6) if fits else (1, 0)), said
    refusal = "preprocess: expected array tasks below 1001 (MaxArraySize of this cluster), found task 1001 in "
    assert (refusal in said) != fits
    assert ("--resource preprocess.tasks=1000" in said) != fits


def test_without_scontrol_the_chain_is_submitted_all_the_same(submit) -> None:
    code, said, submitted = submit(answer="", limit=None)
    assert (code, len(submitted)) == (0, 6), said
