import os
from pathlib import Path

import pytest
import torch

from pectl.cli.options import parse_shard
from pectl.core.storage.processes import Processes, find_processes
from pectl.training import device

NAMES = ("TORCHELASTIC_RUN_ID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES", "SLURM_PROCID", "SLURM_NTASKS")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_alone(environment: pytest.MonkeyPatch) -> None:
    assert find_processes() == Processes("none", 0, 1, 1)


def test_torchrun_on_two_machines(environment: pytest.MonkeyPatch) -> None:
    variables = {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"} | {
        "LOCAL_RANK": "1"
    }
    for name, value in variables.items():
        environment.setenv(name, value)
    found = find_processes()
    assert found == Processes("torchrun", 5, 8, 2, 1)
    assert found.per_node == 4
    environment.setenv("WORLD_SIZE", "1")
    assert find_processes() == Processes()


def test_an_srun_step_has_its_tasks_and_a_batch_script_has_one_process(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SLURM_NTASKS", "8")
    environment.setenv("SLURM_PROCID", "0")
    assert find_processes() == Processes()  # the script itself, or what it starts without srun
    environment.setenv("SLURM_STEP_NUM_TASKS", "8")
    environment.setenv("SLURM_STEP_NUM_NODES", "2")
    environment.setenv("SLURM_PROCID", "6")
    environment.setenv("SLURM_LOCALID", "2")
    assert find_processes() == Processes("srun", 6, 8, 2, 2)


def test_processes_of_a_sharded_command_take_their_shares_of_its_share(environment: pytest.MonkeyPatch) -> None:
    assert parse_shard(None) is None
    assert parse_shard("2/3") == (1, 3)
    for name, value in {"NUM_TASKS": "4", "NUM_NODES": "1"}.items():
        environment.setenv(f"SLURM_STEP_{name}", value)
    environment.setenv("SLURM_PROCID", "3")
    environment.setenv("SLURM_LOCALID", "3")
    assert parse_shard(None) == (3, 4)
    assert parse_shard("2/3") == (7, 12)


def test_each_process_of_a_sharded_command_has_a_gpu_of_its_own(environment: pytest.MonkeyPatch) -> None:
    environment.setattr(torch.cuda, "device_count", lambda: 2)
    environment.setenv("SLURM_STEP_NUM_TASKS", "4")
    environment.setenv("SLURM_PROCID", "3")
    environment.setenv("SLURM_LOCALID", "3")
    assert device._devices("cuda", Processes()) == [1]
    assert device._devices("cuda", Processes("srun", 3, 4, 2, 1)) == 2


def test_a_step_smaller_than_its_job_has_its_own_numbers(environment: pytest.MonkeyPatch) -> None:
    """`srun -N1 -n2` in a job of two machines with four tasks each: the job's variables stay in the step."""
    for name, value in {"NTASKS_PER_NODE": "4", "NNODES": "2", "NTASKS": "2", "JOB_NAME": "train"}.items():
        environment.setenv(f"SLURM_{name}", value)
    device._environment(Processes("srun", 1, 2, 1, 1)).validate_settings(num_devices=2, num_nodes=1)


def test_a_step_that_a_shell_script_wraps_gives_no_false_warning(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    environment.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    environment.setenv("SLURM_NTASKS", "2")
    environment.setenv("SLURM_NTASKS_PER_NODE", "2")
    environment.setenv("SLURM_NNODES", "1")
    environment.setenv("SLURM_JOB_NAME", "bash")
    assert device._environment(Processes("srun", 1, 2, 1, 1)).world_size() == 2
