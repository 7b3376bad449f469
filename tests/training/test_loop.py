import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pectl.config import Config, Stage2Config
from pectl.core.batches.share import whole as whole_share
from pectl.core.models.checkpoint import load_stage2
from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.stores.runs import read_run
from pectl.errors import Interrupted, OutputExistsError, StoreError, TrainingError
from pectl.training.loader import Key
from pectl.training.losses import mean_loss
from pectl.training.run import RunFolder
from pectl.training.schedule import rate_factor
from pectl.training.task import ValidationBatch
from tests.stage2_specs import stage2_spec
from tests.training.stub_task import SPEC, SPLITS, StubTask, result, train

STEPS = 4


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole")
    train(path)
    return path


def val_loss(model: SequenceClassifier) -> float:
    """Return a model's loss on all studies, as validation counts it."""
    task, model = StubTask(), model.eval()
    with torch.inference_mode():
        judged = [task.judge(model, task.load(Key("val", rows, whole_share(len(rows))))) for rows in task.val_batches()]
    sums, weights = (sum(getattr(one, name) for one in judged) for name in ("sums", "weights"))
    return float(mean_loss(sums, weights))


def test_a_run_leaves_metrics_events_and_checkpoints(whole: Path) -> None:
    lines = (whole / "metrics.csv").read_text().splitlines()
    assert lines[0] == "epoch,train_loss,val_loss,val_first,val_last,learning_rate"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]
    losses = [float(line.split(",")[2]) for line in lines[1:]]
    assert losses[0] > losses[1] > losses[2]
    assert list((whole / "events").iterdir())
    model = load_stage2(whole / "checkpoints" / "best")
    assert val_loss(model) == pytest.approx(min(losses), rel=1e-6)
    torch.manual_seed(0)
    assert not torch.equal(*(made.members[0].exam_head.label.bias for made in (model, SequenceClassifier(SPEC))))
    assert not list(whole.rglob("*.tmp"))


def test_same_seed_same_bytes(whole: Path, tmp_path: Path) -> None:
    train(tmp_path)
    assert result(tmp_path) == result(whole)


def test_an_ensemble_stopped_and_resumed_ends_the_same(tmp_path: Path) -> None:
    spec = stage2_spec(dropout=0.3, model="gru", levels=2, head="hierarchical", position=True, ensemble=2)

    def stop(task: StubTask) -> None:
        task.on_step = lambda now: os.kill(os.getpid(), signal.SIGTERM) if now == 6 else None

    with pytest.raises(Interrupted):
        train(tmp_path / "stopped", stop, spec=spec)
    train(tmp_path / "stopped", spec=spec)
    train(tmp_path / "whole", spec=spec)
    assert result(tmp_path / "stopped") == result(tmp_path / "whole")
    assert load_stage2(tmp_path / "whole" / "checkpoints" / "best").spec == spec


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("step", [2, 4, 7, 12])
def test_stopped_by_a_signal_and_resumed_ends_the_same(
    whole: Path, tmp_path: Path, step: int, number: signal.Signals
) -> None:
    def stop(task: StubTask) -> None:
        task.on_step = lambda now: os.kill(os.getpid(), number) if now == step else None

    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as stopped:
        train(tmp_path, stop)
    assert stopped.value.exit_code == 75
    epoch = (step - 1) // STEPS + 1
    assert f"found a stop signal in epoch {epoch}, after which a checkpoint was written" in str(stopped.value)
    assert "run the command again with --resume" in str(stopped.value)
    assert (tmp_path / "checkpoints" / "last" / "state.pt").is_file()
    assert signal.getsignal(number) == before
    resumed = train(tmp_path)
    assert resumed.steps == 3 * STEPS - step
    assert result(tmp_path) == result(whole)


class KilledError(Exception):
    """Stands for the end of the process."""


def killed() -> None:
    raise KilledError


@pytest.mark.parametrize("step", [1, 6, 9])
def test_killed_within_an_epoch_does_the_epoch_again(whole: Path, tmp_path: Path, step: int) -> None:
    def kill(task: StubTask) -> None:
        task.on_step = lambda now: killed() if now == step else None

    with pytest.raises(KilledError):
        train(tmp_path, kill)
    assert train(tmp_path).steps == 3 * STEPS - (step - 1) // STEPS * STEPS
    assert result(tmp_path) == result(whole)


@pytest.mark.parametrize("place", ["judge", "write_metrics", "save_state", "write_events"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_killed_at_the_end_of_an_epoch(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, epoch: int
) -> None:
    calls = []
    owner = StubTask if place == "judge" else RunFolder
    original = getattr(owner, place)

    def kill(*arguments: object) -> object:
        calls.append(place)
        if len(calls) == (3 * epoch if place == "judge" else epoch):
            raise KilledError
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, place, kill)
        with pytest.raises(KilledError):
            train(tmp_path)
    train(tmp_path)
    assert result(tmp_path) == result(whole)


def test_a_finished_run_resumed_stays_as_it_is(whole: Path, tmp_path: Path) -> None:
    train(tmp_path)
    assert train(tmp_path).steps == 0
    assert result(tmp_path) == result(whole)


def test_non_finite_loss_names_the_studies_of_its_batch(tmp_path: Path) -> None:
    def spoil(task: StubTask) -> None:
        task.features[5] = float("nan")

    batches = StubTask().batches(0)
    place = next(i for i, rows in enumerate(batches) if 5 in rows.tolist())
    names = ", ".join(f"study-{i}" for i in batches[place].tolist())
    with pytest.raises(TrainingError) as error:
        train(tmp_path, spoil)
    assert str(error.value) == (
        f"epoch 1, step {place + 1}: expected a finite loss, found nan in a batch of the studies {names}; "
        "look at these studies, or lower the learning rate or set clip_norm"
    )


def test_non_finite_validation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        StubTask,
        "judge",
        lambda self, model, batch: ValidationBatch(torch.tensor([float("inf"), 0.0]), self.weights(batch), ()),
    )
    with pytest.raises(TrainingError, match="validation of epoch 1: expected a finite loss, found inf; lower"):
        train(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_stopped_in_validation_keeps_the_epochs_steps(whole: Path, tmp_path: Path, number: signal.Signals) -> None:
    def stop(task: StubTask) -> None:
        task.on_judge = lambda batch: os.kill(os.getpid(), number) if batch == 5 else None

    with pytest.raises(Interrupted, match="a stop signal in epoch 2, after which a checkpoint was written"):
        train(tmp_path, stop)
    resumed = train(tmp_path)
    assert (resumed.steps, resumed.judged) == (STEPS, 6)
    assert result(tmp_path) == result(whole)


def test_existing_run_needs_resume_and_the_same_data(whole: Path) -> None:
    run = RunFolder(whole)
    with pytest.raises(OutputExistsError, match="expected a new folder, found a run; add --resume to go on with it"):
        run.begin(Config(), {"config": "d1"}, SPLITS, resume=False)
    with pytest.raises(TrainingError, match="expected the run's own split None, found s2; resume with the same data"):
        run.begin(Config(), {"config": "d1", "split": "s2"}, SPLITS, resume="changed")


def test_another_configuration_is_refused_with_the_difference_unless_accepted(tmp_path: Path) -> None:
    train(tmp_path)
    run, changed = RunFolder(tmp_path), Config(stage2=Stage2Config(hidden=5, epochs=4))
    with pytest.raises(TrainingError) as refused:
        run.begin(changed, {"config": "d2"}, SPLITS, resume=True)
    assert (
        "expected the run's own stage2.epochs = 200, stage2.hidden = 128, found stage2.epochs = 4, stage2.hidden = 5; "
        "resume with the same configuration, or accept the difference with --resume-changed"
    ) in str(refused.value)
    run.begin(changed, {"config": "d2"}, SPLITS, resume="changed")
    run.begin(changed, {"config": "d2"}, SPLITS, resume=True)  # the accepted configuration is now the run's own


def test_an_accepted_rate_is_obeyed(tmp_path: Path) -> None:
    constant = {"batch_size": 2, "learning_rate": 0.01}
    train(tmp_path, config=Stage2Config(epochs=2, **constant))
    train(tmp_path, config=Stage2Config(epochs=3, **constant | {"learning_rate": 0.002}))
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[-1] for row in rows[1:]] == ["0.01", "0.01", "0.002"]


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("loss", ["damaged", "missing"])
def test_damaged_last_checkpoint_falls_back_to_the_one_before(
    whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, loss: str
) -> None:
    train(tmp_path)
    state = tmp_path / "checkpoints" / "last" / "state.pt"
    halve(state) if loss == "damaged" else state.unlink()
    assert train(tmp_path).steps == STEPS  # the last epoch again
    assert result(tmp_path) == result(whole)
    assert ("state.pt is damaged" in caplog.text) == (loss == "damaged")


def test_all_checkpoints_damaged(tmp_path: Path) -> None:
    train(tmp_path)
    run = RunFolder(tmp_path)
    halve(run.last / "state.pt")
    halve(run.last / "previous.pt")
    with pytest.raises(StoreError, match=r"state\.pt: expected a training state, found a damaged file, and no whole"):
        run.load_state()


def test_run_of_the_other_stage_and_unfinished_run(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(StoreError, match=r"run\.json: expected a file that pectl train-stage1 writes"):
        read_run(tmp_path, stage="stage1")
    run.finish(digest="d", made_from={}, config_digest="c", stage="stage2")
    assert read_run(tmp_path, stage="stage2")[0].digest == "d"
    with pytest.raises(
        StoreError, match=r"expected a run of pectl train-stage1, found one of stage2; swap the folders"
    ):
        read_run(tmp_path, stage="stage1")


def test_rates() -> None:
    constant = Stage2Config(epochs=10)
    assert {rate_factor(step, constant, 5) for step in range(50)} == {1.0}
    steps = Stage2Config(epochs=10, schedule="step", step_epochs=2, step_factor=0.5)
    assert [rate_factor(step, steps, 5) for step in (0, 9, 10, 19, 20, 49)] == [1, 1, 0.5, 0.5, 0.25, 0.0625]
    cycle = Stage2Config(epochs=10, schedule="one-cycle", warmup_fraction=0.2)
    assert [rate_factor(step, cycle, 5) for step in (0, 4, 9)] == [0.1, 0.5, 1.0]
    assert rate_factor(10, cycle, 5) == 1.0
    assert rate_factor(30, cycle, 5) == pytest.approx(0.5)
    assert rate_factor(50, cycle, 5) == pytest.approx(0.0)


def test_a_run_does_not_go_on_with_other_layers(tmp_path: Path) -> None:
    train(tmp_path)

    def widen(task: StubTask) -> None:
        task.model = SequenceClassifier(replace(SPEC, hidden=8))

    with pytest.raises(TrainingError) as error:
        train(tmp_path, widen)
    text = str(error.value)
    assert (
        f"{tmp_path / 'checkpoints' / 'last'}: expected the weights of this configuration's model, found others" in text
    )
    assert "size mismatch" in text
    assert "choose another --out" in text
