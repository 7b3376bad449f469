import pytest

from pectl.pipeline.processes import Processes, find_processes

NAMES = ("TORCHELASTIC_RUN_ID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES", "SLURM_PROCID", "SLURM_NTASKS")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_alone(environment: pytest.MonkeyPatch) -> None:
    assert find_processes() == Processes("none", 0, 1, 1)


def test_torchrun_on_two_machines(environment: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
        environment.setenv(name, value)
    found = find_processes()
    assert found == Processes("torchrun", 5, 8, 2)
    assert found.per_node == 4
    environment.setenv("WORLD_SIZE", "1")
    assert find_processes() == Processes()


def test_an_srun_step_has_its_tasks_and_a_batch_script_has_one_process(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SLURM_NTASKS", "8")
    environment.setenv("SLURM_PROCID", "0")
    assert find_processes() == Processes()  # the script itself, or what it starts without srun
    environment.setenv("SLURM_STEP_NUM_TASKS", "8")
    environment.setenv("SLURM_STEP_NUM_NODES", "2")
    environment.setenv("SLURM_PROCID", "3")
    assert find_processes() == Processes("srun", 3, 8, 2)
