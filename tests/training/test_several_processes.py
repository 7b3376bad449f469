"""Training in two processes (gloo, on the CPU) is training in one: the same batches, statistics, metrics and end."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from pectl.config import Config, Stage2Config
from pectl.core.storage.processes import find_processes
from pectl.errors import StoreError, TrainingError
from pectl.training.device import make_fabric
from pectl.training.run import RunFolder
from pectl.training.together import Together
from tests.stage2_specs import stage2_spec
from tests.training.several import end, start_two
from tests.training.stub_task import SPLITS, StubTask, train

ROUNDING = 2e-6
"""Of weights of about 1: fp32 sums in another order; measured 1e-7."""
SCALE_FREE = 2e-3
"""Of convolutions before a batch norm, which takes their scale out: their gradient along it is rounding, which Adam
makes large; measured 2e-4."""
PLAIN = Stage2Config(epochs=3, batch_size=5, learning_rate=0.01, schedule="one-cycle", clip_norm=1.0)
STUDIES = 13
"""Batches of 5, 5 and 3, validation of 5, 4 and 4: nothing divides by two."""


def train_here(path: Path, config: Stage2Config, hook: Callable[[StubTask], None] = lambda task: None) -> None:
    train(path, hook, config, fabric=make_fabric("cpu", processes=find_processes()), studies=STUDIES)


def assert_same_training(one: Path, other: Path) -> None:
    """Compare weights and metrics of two runs, within rounding."""
    for checkpoint in ("last", "best"):
        mine, theirs = (load_file(run / "checkpoints" / checkpoint / "model.safetensors") for run in (one, other))
        assert mine.keys() == theirs.keys()
        for name in mine:
            atol = SCALE_FREE if "parametrizations" in name or "running" in name else ROUNDING
            difference = (mine[name].double() - theirs[name].double()).abs().max().item()
            assert difference < atol, f"{name} differs by {difference}"
    tables = (pd.read_csv(run / "metrics.csv") for run in (one, other))
    pd.testing.assert_frame_equal(*tables, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alone")
    train(path, config=PLAIN, studies=STUDIES)
    return path


def test_two_processes_train_to_the_result_of_one(alone: Path, tmp_path: Path) -> None:
    assert end(start_two(train_here, tmp_path, PLAIN)) == [0, 0]
    assert_same_training(alone, tmp_path)
    assert len(list((tmp_path / "events").iterdir())) == PLAIN.epochs  # process 0 alone writes


GRU_ENSEMBLE = stage2_spec(model="gru", levels=2, dropout=0.3, head="hierarchical", position=True, ensemble=2)


def train_gru(path: Path) -> None:
    fabric = make_fabric("cpu", processes=find_processes())
    train(path, config=PLAIN, fabric=fabric, studies=STUDIES, spec=GRU_ENSEMBLE)


def test_dropout_between_the_levels_of_a_gru_is_that_of_one_process(tmp_path: Path) -> None:
    train(tmp_path / "alone", config=PLAIN, studies=STUDIES, spec=GRU_ENSEMBLE)
    (tmp_path / "two").mkdir()
    assert end(start_two(train_gru, tmp_path / "two")) == [0, 0]
    assert_same_training(tmp_path / "alone", tmp_path / "two")


def test_a_batch_in_two_passes_of_two_processes_has_the_statistics_of_its_passes(tmp_path: Path) -> None:
    """Passes of a process meet those of the other: both processes' first rows are normalised together."""
    config = PLAIN.model_copy(update={"accumulate": 2, "batch_size": 4})
    assert end(start_two(train_sixteen, tmp_path, config)) == [0, 0]
    rows = pd.read_csv(tmp_path / "metrics.csv")
    assert rows["train_loss"].iloc[-1] < rows["train_loss"].iloc[0]


def train_sixteen(path: Path, config: Stage2Config) -> None:
    train(path, config=config, fabric=make_fabric("cpu", processes=find_processes()), studies=16)


def stop_first(task: StubTask) -> None:
    if os.environ["RANK"] == "0":
        task.on_step = lambda step: os.kill(os.getpid(), signal.SIGUSR1) if step == 5 else None


def stop_second_while_it_reads(task: StubTask) -> None:
    if os.environ["RANK"] == "1":
        calls: list[int] = []

        def stall(_: object) -> None:
            calls.append(1)
            if len(calls) == 4:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)

        task.on_load = stall


def stop_second_in_validation(task: StubTask) -> None:
    if os.environ["RANK"] == "1":
        task.on_judge = lambda batch: os.kill(os.getpid(), signal.SIGTERM)


def stopped(path: Path, hook: Callable[[StubTask], None]) -> None:
    train_here(path, PLAIN, hook)


@pytest.mark.parametrize("hook", [stop_first, stop_second_while_it_reads, stop_second_in_validation])
def test_a_signal_to_one_process_stops_both_at_the_same_step_and_one_process_goes_on(
    alone: Path, tmp_path: Path, hook: Callable[[StubTask], None]
) -> None:
    assert end(start_two(stopped, tmp_path, hook)) == [75, 75]
    assert "after which a checkpoint was written" in (tmp_path / "stderr-0").read_text()
    assert (tmp_path / "stderr-1").read_text() == ""
    train(tmp_path, config=PLAIN, studies=STUDIES)  # resumed by one process, it ends as one
    assert_same_training(alone, tmp_path)


def fail_second(task: StubTask) -> None:
    if os.environ["RANK"] == "1":

        def fail(step: int) -> None:
            if step == 5:
                raise StoreError(where="1.2.h5", expected="a whole file", found="a damaged one", fix="make it again")

        task.on_step = fail


def kill_second(task: StubTask) -> None:
    if os.environ["RANK"] == "1":
        task.on_step = lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == 5 else None


def spoil_second(task: StubTask) -> None:
    task.features[4] = float("nan")


def test_an_error_of_one_process_ends_both_and_is_its_own(tmp_path: Path) -> None:
    assert end(start_two(stopped, tmp_path, fail_second)) == [1, 1]
    assert "1.2.h5: expected a whole file, found a damaged one" in (tmp_path / "stderr-1").read_text()
    assert (
        "process 0 of 2: expected all processes of the training to go on, found that another one has ended"
        in (tmp_path / "stderr-0").read_text()
    )


def test_a_killed_process_ends_the_other(tmp_path: Path) -> None:
    assert end(start_two(stopped, tmp_path, kill_second)) == [1, -signal.SIGKILL]
    assert "found that another one has ended; see its own message" in (tmp_path / "stderr-0").read_text()


def test_non_finite_loss_names_the_studies_in_whichever_process(tmp_path: Path) -> None:
    assert end(start_two(stopped, tmp_path, spoil_second)) == [1, 1]
    text = "".join((tmp_path / f"stderr-{rank}").read_text() for rank in (0, 1))
    assert "expected a finite loss, found nan in a batch of the studies" in text
    assert "study-4" in text


def begin_in_a_used_folder(path: Path) -> None:
    together = Together(make_fabric("cpu", processes=find_processes()))
    together.once(lambda: RunFolder(path / "run").begin(Config(), {"config": "d"}, SPLITS, resume=False))


def test_what_process_0_refuses_ends_both_with_one_message(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").begin(Config(), {"config": "d"}, SPLITS, resume=False)
    assert end(start_two(begin_in_a_used_folder, tmp_path)) == [1, 1]
    assert "expected a new folder, found a run" in (tmp_path / "stderr-0").read_text()
    assert (tmp_path / "stderr-1").read_text() == ""


def test_batches_too_small_for_the_passes(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as error:
        train(tmp_path, config=PLAIN.model_copy(update={"accumulate": 4}), studies=STUDIES)
    assert (
        "1 processes, accumulate = 4: expected batches of at least 4, found one of 3; set a larger batch_size"
        in str(error.value)
    )
