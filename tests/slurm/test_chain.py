"""What `pectl slurm` writes, submitted to a real Slurm."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from pectl.core.intake.cohort import in_shard
from pectl.core.stores.study_store import StudyStore

PROGRAM = Path(sys.executable).with_name("pectl")
pytestmark = pytest.mark.slurm


def test_the_chain_ends_as_the_one_run_by_hand(submitted, by_hand) -> None:
    names = [
        f"{stage}/{name}"
        for stage in ("stage1", "stage2")
        for name in ("metrics.csv", "checkpoints/best/model.safetensors", "checkpoints/last/model.safetensors")
    ]
    names += ["store/studies.csv", "store/splits.csv", "features/features.json", "evaluation/metrics.json"]
    done = type(by_hand)(submitted.chain.root / "work", *[Path()] * 3)
    assert done.files(*names) == by_hand.files(*names)
    summaries = [json.loads((chain.root / "explanations/summary.json").read_text()) for chain in (done, by_hand)]
    assert summaries[0]["statement"] == summaries[1]["statement"]


def test_the_training_ran_out_of_time_and_went_on(submitted) -> None:
    log = submitted.log("train-stage1")
    restarts = log.count("goes back to the queue")
    assert restarts >= 1
    assert f"out of time (restart {restarts - 1} of at most 100)" in log
    assert "a stop signal in epoch" in log
    assert "TIME LIMIT" not in log, "the warning came too late"
    for step in ("preprocess", "extract-features", "train-stage2"):
        assert "goes back" not in submitted.log(step)


def test_shares_without_a_study_are_no_failure(submitted) -> None:
    uids = StudyStore.open(submitted.chain.root / "work" / "store").uids()
    shares = [sum(in_shard(uid, (index, 7)) for uid in uids) for index in range(7)]
    assert sum(shares) == 12
    assert 0 in shares, "choose another number of shares"
    logs = [
        (submitted.jobs / f"pectl-preprocess-{submitted.job('preprocess')}_{task}.log").read_text()
        for task in range(1, 8)
    ]
    for share, log in zip(shares, logs, strict=True):
        assert f"{share} studies done, 0 there already, 0 refused" in log


def test_submitted_again_there_is_nothing_to_do(cluster, submitted) -> None:
    said = cluster.run("bash", submitted.jobs / "submit.sh", cwd=submitted.chain.root)
    assert said.count(": done, ") == 6
    assert "job" not in said.replace("jobs", "")


@pytest.mark.parametrize("array", ["2-3", "5-9:2"])
def test_some_tasks_of_an_array_submitted_again_change_nothing(cluster, submitted, array: str) -> None:
    store = submitted.chain.root / "work" / "store"
    before = {path: path.stat().st_mtime_ns for path in store.glob("studies/*")}
    batch = submitted.jobs / "preprocess.sbatch"
    job = cluster.run("sbatch", "--parsable", f"--array={array}", batch, cwd=submitted.chain.root).strip()
    states = cluster.wait(seconds=600)
    tasks = [number for number in states if number.startswith(f"{job}_")]
    assert {states[number] for number in tasks} == {"COMPLETED"}
    logs = [(submitted.jobs / f"pectl-preprocess-{number}.log").read_text() for number in tasks]
    assert sum(int(log.split(" there already")[0].split(", ")[-1]) for log in logs) == 12
    assert {path: path.stat().st_mtime_ns for path in store.glob("studies/*")} == before


def test_a_finished_training_submitted_again_changes_nothing(cluster, submitted) -> None:
    run = submitted.chain.root / "work" / "stage1"
    names = ("run.json", "metrics.csv", "checkpoints/best/model.safetensors", "checkpoints/last/model.safetensors")
    before = {name: (run / name).read_bytes() for name in names}
    batch = submitted.jobs / "train-stage1.sbatch"
    job = cluster.run("sbatch", "--parsable", batch, cwd=submitted.chain.root).strip()
    assert cluster.wait(seconds=600)[job] == "COMPLETED"
    assert {name: (run / name).read_bytes() for name in names} == before


def test_tasks_that_are_not_evenly_numbered_are_refused(cluster, submitted) -> None:
    batch = submitted.jobs / "preprocess.sbatch"
    job = cluster.run("sbatch", "--parsable", "--array=1,2,5", batch, cwd=submitted.chain.root).strip()
    states = cluster.wait(seconds=600)
    assert states[f"{job}_5"] == "FAILED"
    log = (submitted.jobs / f"pectl-preprocess-{job}_5.log").read_text()
    assert "found 3 tasks from 1 to 5" in " ".join(log.split())


def test_a_failed_step_cancels_those_that_wait_and_says_so(cluster, submitted, write_jobs, tmp_path: Path) -> None:
    chain = type(submitted.chain)(tmp_path, submitted.chain.config, tmp_path / "nowhere", submitted.chain.labels)
    jobs = write_jobs(cluster, chain, tmp_path / "jobs")
    said = cluster.run("bash", jobs / "submit.sh", cwd=tmp_path)
    states = cluster.wait(seconds=600)
    first, *others = [line.split()[-1] for line in said.splitlines() if ": job " in line]
    assert {state for number, state in states.items() if number.startswith(f"{first}_")} == {"FAILED"}
    later = [state for number, state in states.items() if number.split("_")[0] in others]
    assert len(later) == 7
    assert set(later) == {"CANCELLED"}
    log = (jobs / f"pectl-preprocess-{first}_1.log").read_text()
    assert re.search(r"nowhere: expected .*, found no such", log)
    assert "preprocess: failed with exit code 1; the steps that wait for it are cancelled" in log


def test_a_cancelled_training_stays_cancelled(cluster, submitted, write_jobs, tmp_path: Path) -> None:
    job, jobs = submit_training(cluster, submitted, write_jobs, tmp_path)
    log = jobs / f"pectl-train-stage1-{job}.log"
    cluster.wait_for("epoch", tmp_path / "work" / "stage1" / "metrics.csv")
    cluster.run("scancel", job)
    assert cluster.wait(seconds=1200)[job] == "CANCELLED"
    assert "goes back" not in log.read_text()
    assert (tmp_path / "work" / "stage1" / "checkpoints" / "last" / "state.pt").exists()


def test_a_warning_before_the_program_listens_requeues_too(
    cluster, submitted, write_jobs, living, tmp_path: Path
) -> None:
    job, jobs = submit_training(cluster, submitted, write_jobs, tmp_path)
    while not any(
        "python" in line.partition(" ")[0] and " train-stage1 " in line for line in living(cluster.folder).values()
    ):
        time.sleep(0.01)
    cluster.run("scancel", "--signal=USR1", job)  # python is starting
    log = cluster.wait_for("goes back to the queue", jobs / f"pectl-train-stage1-{job}.log")
    assert "a stop signal in epoch" not in log
    cluster.run("scancel", job)
    cluster.wait(seconds=300)


def test_two_processes_of_srun_stopped_and_requeued_train_to_the_result_of_one(
    cluster, submitted, write_jobs, run_by_hand, tmp_path: Path
) -> None:
    epochs = ("--set", "stage1.epochs=10")
    job, jobs = submit_training(cluster, submitted, write_jobs, tmp_path, "--resource", "train-stage1.tasks=2", *epochs)
    log = jobs / f"pectl-train-stage1-{job}.log"
    cluster.wait_for("epoch", tmp_path / "work" / "stage1" / "metrics.csv", seconds=600)
    cluster.run("scancel", "--signal=USR1", job)  # to both processes, as SLURM's warning
    cluster.wait_for("goes back to the queue", log)
    assert cluster.wait(seconds=1200)[job] == "COMPLETED", log.read_text()
    assert log.read_text().count("best epoch") == 1, "one process shows the result"
    store = submitted.chain.root / "work" / "store"
    run_by_hand(submitted.chain, "train-stage1", store, "--out", tmp_path / "one", "--device", "cpu", *epochs)
    together, alone = (pd.read_csv(tmp_path / run / "metrics.csv") for run in ("work/stage1", "one"))
    assert len(together) == len(alone) == 10
    together, alone = together[:6], alone[:6]  # rounding grows by the step, to 1.4 % of the loss in the last epoch
    for column in ("epoch", "train_loss", "val_loss", "learning_rate"):
        assert together[column].to_numpy() == pytest.approx(alone[column].to_numpy(), rel=1e-2)


def test_a_step_of_two_tasks_in_a_job_of_four_started_by_a_shell_script_trains(
    cluster, submitted, tmp_path: Path
) -> None:
    """The wrapper is the usual way to load modules first."""
    store, config = submitted.chain.root / "work" / "store", submitted.chain.config
    (tmp_path / "wrapper.sh").write_text('#!/bin/bash\nexec "$@"\n')
    command = f"{PROGRAM} train-stage1 '{store}' --out '{tmp_path / 'run'}' --config '{config}' --device cpu"
    (tmp_path / "job.sbatch").write_text(
        f"#!/bin/bash\n#SBATCH --ntasks-per-node=4\n#SBATCH --output={tmp_path}/log\n"
        f"srun -n2 bash {tmp_path}/wrapper.sh {command} --set stage1.epochs=2\n"
    )
    job = cluster.run("sbatch", "--parsable", tmp_path / "job.sbatch", cwd=tmp_path).strip()
    assert cluster.wait(seconds=1200)[job] == "COMPLETED", (tmp_path / "log").read_text()
    log = (tmp_path / "log").read_text()
    assert log.count("best epoch") == 1, log
    assert "srun" not in log, "Fabric's false warning"


def submit_training(cluster, submitted, write_jobs, folder: Path, *more: str) -> tuple[str, Path]:
    """Submit stage 1 alone, into another run folder but from the same store; return its job and the logs' folder."""
    (folder / "work").mkdir()
    (folder / "work" / "store").symlink_to(submitted.chain.root / "work" / "store")
    chain = type(submitted.chain)(folder, submitted.chain.config, submitted.chain.dicom, submitted.chain.labels)
    jobs = write_jobs(cluster, chain, folder / "jobs", *more)
    return cluster.run("sbatch", "--parsable", jobs / "train-stage1.sbatch", cwd=folder).strip(), jobs


def test_nothing_is_left_of_a_test_run_that_was_killed(cluster_folder: Path, living) -> None:
    code = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import conftest as c\n"
        "cluster = c.start_cluster(Path(sys.argv[2])) and c.Cluster(Path(sys.argv[2]))\n"
        "cluster.run('sbatch', '--wrap', 'trap : TERM; sleep 1000 & wait; sleep 1000', cwd=Path(sys.argv[2]))\n"
        "print('submitted', flush=True); time.sleep(1000)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, Path(__file__).parent, cluster_folder], stdout=subprocess.PIPE, text=True
    )
    assert run.stdout
    with run.stdout:
        assert run.stdout.readline() == "submitted\n"
    deadline = time.monotonic() + 30
    while not any("sleep" in command for command in living(cluster_folder).values()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert {"munged", "slurmctld", "slurmd"} < {command.split()[0] for command in living(cluster_folder).values()}
    run.kill()
    run.wait()
    while living(cluster_folder) and time.monotonic() < deadline + 30:
        time.sleep(0.2)
    assert living(cluster_folder) == {}
