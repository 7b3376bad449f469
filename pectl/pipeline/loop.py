"""The training loop of both stages: steps, validation, checkpoints, signals; resumable to the bit on a CPU."""

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from pectl.config import OptimizerConfig
from pectl.core.models.checkpoint import Model, save_model
from pectl.errors import Interrupted, TrainingError
from pectl.pipeline.run import Clock, RunFolder

Progress = Callable[[int, int], None]
HEARTBEAT_SECONDS = 10.0
REQUEUE_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Task(Protocol):
    """What a stage brings to the loop."""

    @property
    def model(self) -> Model:
        """Return what is trained."""

    def batches(self, epoch: int) -> Sequence[object]:
        """Return the batches of an epoch as keys for `load`, in an order fixed by seed and epoch."""

    def load(self, key: object) -> Any:  # noqa: ANN401 - each stage has its own batch
        """Read a batch; runs in a thread beside the step before and draws no random numbers."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:  # noqa: ANN401 - what `load` returned
        """Return the training loss; may draw from torch's generator."""

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the validation metrics, `val_loss` among them."""

    def studies(self, key: object) -> list[str]:
        """Return the studies of a batch, to name it in an error."""


@dataclass
class Position:
    """Where a run stands; with the seed it also fixes every random number that is still to be drawn."""

    epoch: int = 0
    step: int = 0
    """Batches of this epoch that are done."""
    loss_sum: float = 0.0
    best: float = math.inf
    rows: list[dict[str, float]] = field(default_factory=list)
    """`metrics.csv` so far."""


class Trainer:
    """Trains one task in one run folder."""

    def __init__(self, task: Task, run: RunFolder, config: OptimizerConfig, *, fabric: Fabric, seed: int) -> None:
        self.task, self.run, self.config, self.fabric, self.seed = task, run, config, fabric, seed
        self.steps_per_epoch = len(task.batches(0))
        self.position = Position()
        self.optimizer: Optimizer = AdamW(
            task.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.schedule = LambdaLR(self.optimizer, lambda step: rate_factor(step, config, self.steps_per_epoch))
        self.model, self.optimizer = fabric.setup(task.model, self.optimizer)
        self._started = time.time()

    def fit(self, progress: Progress) -> None:
        """Train to the last epoch, from where the run stands.

        Raises:
            Interrupted: SIGTERM or SIGUSR1 came; a checkpoint has been written.
            TrainingError: the loss isn't finite; its studies are named.
        """
        self._restore()
        clock = Clock(60 * self.config.checkpoint_minutes)
        with _stop_requests() as stop:
            while self.position.epoch < self.config.epochs:
                for _ in self._epoch(progress):
                    self._heed(stop)
                    if clock.due():
                        self._save()
                # a stop request ends validation before its next batch; the epoch's steps are done and kept
                with self.model.register_forward_pre_hook(lambda *_: self._heed(stop)):
                    metrics = self._validate()
                self._end_epoch(metrics)

    def _heed(self, stop: list[int]) -> None:
        """Checkpoint and leave if a stop was asked for."""
        if stop:
            self._save()
            raise self._interrupted()

    def _epoch(self, progress: Progress) -> Iterator[None]:
        """Do the epoch's remaining steps, yielding after each."""
        keys = self.task.batches(self.position.epoch)
        total = self.config.epochs * self.steps_per_epoch
        heartbeat = Clock(HEARTBEAT_SECONDS)
        self.model.train()
        for key, batch in _prefetched(self.task.load, keys[self.position.step :]):
            self.position.loss_sum += self._step(key, batch)
            self.position.step += 1
            done = self.position.epoch * self.steps_per_epoch + self.position.step
            progress(done, total)
            if heartbeat.due():
                self.run.heartbeat(state="training", step=done, steps=total, epoch=self.position.epoch + 1)
            yield

    def _step(self, key: object, batch: object) -> float:
        step = self.position.epoch * self.steps_per_epoch + self.position.step
        torch.manual_seed((self.seed * 1_000_003 + step) % 2**63)  # augmentation and dropout of this step
        loss = self.task.loss(self.model, batch)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                where=f"epoch {self.position.epoch + 1}, step {self.position.step + 1}", expected="a finite loss",
                found=f"{value} in a batch of the studies {', '.join(self.task.studies(key))}",
                fix="look at these studies, or lower the learning rate or set clip_norm",
            )  # fmt: skip
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        if self.config.clip_norm:
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.config.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        return value

    def _validate(self) -> dict[str, float]:
        self.model.eval()
        metrics = self.task.validate(self.model)
        if not math.isfinite(metrics["val_loss"]):
            raise TrainingError(
                where=f"validation of epoch {self.position.epoch + 1}", expected="a finite loss",
                found=str(metrics["val_loss"]), fix="lower the learning rate or set clip_norm",
            )  # fmt: skip
        return metrics

    def _end_epoch(self, metrics: dict[str, float]) -> None:
        """Record, keep the best, and checkpoint."""
        position = self.position
        row: dict[str, float] = {"epoch": position.epoch + 1.0, "train_loss": position.loss_sum / self.steps_per_epoch}
        position.rows.append(row | metrics | {"learning_rate": float(self.schedule.get_last_lr()[0])})
        if metrics["val_loss"] < position.best:
            position.best = metrics["val_loss"]
            save_model(self.task.model, self.run.best)
        position.epoch, position.step, position.loss_sum = position.epoch + 1, 0, 0.0
        self.run.write_metrics(position.rows)
        self._save()  # last: a run killed before it does the epoch again
        self.run.write_events(position.rows, self._started)

    def _save(self) -> None:
        state = {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "position": vars(self.position),
        }
        self.run.save_state(self.task.model, state)

    def _restore(self) -> None:
        state: dict[str, Any] | None = self.run.load_state()
        if state is None:
            return
        self.task.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.position = Position(**state["position"])
        self._obey_config()

    def _obey_config(self) -> None:
        """Let rate and decay be the configuration's, which may have changed since the checkpoint."""
        self.schedule.base_lrs = [self.config.learning_rate] * len(self.optimizer.param_groups)
        factor = rate_factor(self.schedule.last_epoch, self.config, self.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["initial_lr"] = self.config.learning_rate
            group["lr"] = self.config.learning_rate * factor
            group["weight_decay"] = self.config.weight_decay

    def _interrupted(self) -> Interrupted:
        self.run.heartbeat(state="interrupted", epoch=self.position.epoch + 1, step_in_epoch=self.position.step)
        return Interrupted(
            where=self.run.path, expected="to train to the last epoch",
            found=f"a stop signal in epoch {self.position.epoch + 1}, after which a checkpoint was written",
            fix="run the command again with --resume",
        )  # fmt: skip


def rate_factor(step: int, config: OptimizerConfig, steps_per_epoch: int) -> float:
    """Return what the learning rate is multiplied by at a step."""
    if config.schedule == "step":
        return float(config.step_factor ** (step // steps_per_epoch // config.step_epochs))
    if config.schedule == "one-cycle":
        total = config.epochs * steps_per_epoch
        warmup = max(1, round(config.warmup_fraction * total))
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))
    return 1.0


def _prefetched(load: Callable[[object], object], keys: Sequence[object]) -> Iterator[tuple[object, object]]:
    """Load each batch in one thread while the step before runs."""
    with ThreadPoolExecutor(1) as pool:
        following = [pool.submit(load, key) for key in keys[:1]]
        for i, key in enumerate(keys):
            batch = following.pop().result()
            if i + 1 < len(keys):
                following.append(pool.submit(load, keys[i + 1]))
            yield key, batch


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Yield a list that receives the signals that ask for a checkpoint and an end."""
    received: list[int] = []
    before = {number: signal.signal(number, lambda got, _: received.append(got)) for number in REQUEUE_SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
