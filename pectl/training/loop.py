"""The training loop of both stages: epochs, validation, checkpoints, stop signals.

In one process it is resumable to the bit on a CPU; in several it gives the result of one, but for rounding.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pectl.config import OptimizerConfig
from pectl.core.batches.share import Share, whole
from pectl.core.models.checkpoint import save_model
from pectl.errors import Interrupted, TrainingError
from pectl.training.loader import Batch, Key, Loader
from pectl.training.losses import mean_loss
from pectl.training.run import Clock, RunFolder
from pectl.training.step import NonFiniteLossError, Stepper
from pectl.training.stopping import stop_requests
from pectl.training.task import Task, ValidationBatch
from pectl.training.together import Together

Progress = Callable[[int, int], None]


@dataclass
class Position:
    """Where a run stands; with the seed it also fixes every random number that is still to be drawn."""

    epoch: int = 0
    step: int = 0
    """Batches of this epoch that are done."""
    loss_sum: float = 0.0
    """Of these batches; of this process' shares of them, unless in a checkpoint."""
    best: float = math.inf
    rows: list[dict[str, float]] = field(default_factory=list)
    """`metrics.csv` so far."""


class Trainer:
    """Trains one task in one run folder."""

    def __init__(  # noqa: PLR0913 - what is trained, where to, how, by what
        self,
        task: Task,
        run: RunFolder,
        config: OptimizerConfig,
        *,
        fabric: Fabric,
        seed: int,
        workers: int = 0,
        compiled: bool = False,
    ) -> None:
        self.task, self.run, self.config, self.fabric = task, run, config, fabric
        self.together = Together(fabric)
        self.steps_per_epoch = len(task.batches(0))
        self.position = Position()
        self.stepper = Stepper(
            task.model, config, fabric=fabric, seed=seed, steps_per_epoch=self.steps_per_epoch, compiled=compiled
        )
        self.loader = Loader(task.load, workers=workers)
        self._check_sizes()
        self._checkpoint = Clock(60 * config.checkpoint_minutes)
        self._started = time.time()
        self._stop: list[int] = []

    def _check_sizes(self) -> None:
        """Refuse batches that leave a process, or a pass of it, without rows."""
        smallest, needed = min(map(len, self.task.batches(0))), self.together.world * self.config.accumulate
        if smallest < needed:
            raise TrainingError(
                where=f"{self.together.world} processes, accumulate = {self.config.accumulate}",
                expected=f"batches of at least {needed}",
                found=f"one of {smallest}",
                fix="set a larger batch_size, or use fewer processes or a smaller accumulate",
            )

    def fit(self, progress: Progress) -> None:
        """Train to the last epoch, from where the run stands.

        Raises:
            Interrupted: SIGTERM or SIGUSR1 came to any process; a checkpoint has been written.
            TrainingError: the loss isn't finite; its studies are named. Or another process ended.
        """
        with stop_requests() as self._stop, self.together.as_one():
            self._restore()
            while self.position.epoch < self.config.epochs:
                self._train(progress)
                self._end_epoch(self._validate())

    def _train(self, progress: Progress) -> None:
        """Do the epoch's remaining steps."""
        batches = self.task.batches(self.position.epoch)[self.position.step :]
        shares = [whole(len(rows)).split(self.together.world)[self.together.rank] for rows in batches]
        keys = [Key("train", rows, share) for rows, share in zip(batches, shares, strict=True)]
        for key, batch in zip(keys, self.loader.read(keys, self._stop), strict=True):
            weights = self._agree(batch)
            if batch is not None:
                self._step(key, batch, weights)
            progress(self._done(), self._total())
            self._heartbeat("training")

    def _done(self) -> int:
        return self.position.epoch * self.steps_per_epoch + self.position.step

    def _total(self) -> int:
        return self.config.epochs * self.steps_per_epoch

    def _step(self, key: Key, batch: Batch, weights: Tensor) -> None:
        def loss_of(model: nn.Module, part: Share) -> Tensor:
            here = slice(part.first - key.share.first, part.first - key.share.first + part.size)
            return mean_loss(self.task.sums(model, tuple(tensor[here] for tensor in batch), part), weights)

        try:
            self.position.loss_sum += self.stepper.step(self._done(), key.share, loss_of)
        except NonFiniteLossError as error:
            raise self._non_finite(error.value, self.task.studies(key.rows[error.share.rows])) from error
        self.position.step += 1

    def _agree(self, batch: Batch | None) -> Tensor:
        """Return the weights of the whole batch; before, checkpoint if it is time, and leave if any process is to stop.

        All processes come here before every step and every batch of validation, so all of them stop at the same.
        """
        weights = torch.zeros(self.task.means, dtype=torch.float64) if batch is None else self.task.weights(batch)
        due = self.together.writes and self._checkpoint.due()
        asked = torch.tensor([float(bool(self._stop)), float(due)], dtype=torch.float64)
        stop, save, *_ = agreed = self.together.total(torch.cat([asked, weights])).tolist()
        if stop or save:
            self._save()
        if stop:
            self._leave()
        return torch.tensor(agreed[2:], dtype=torch.float64)

    def _leave(self) -> None:
        """End with exit code 75; process 0 says why."""
        self.together.total(torch.zeros(1, dtype=torch.float64))  # no process ends before the checkpoint is written
        if not self.together.writes:
            raise SystemExit(Interrupted.exit_code)
        self.run.status.end("interrupted", epoch=self.position.epoch + 1)
        raise Interrupted(
            where=self.run.path,
            expected="to train to the last epoch",
            found=f"a stop signal in epoch {self.position.epoch + 1}, after which a checkpoint was written",
            fix="run the command again with --resume",
        )

    def _validate(self) -> dict[str, float]:
        """Judge each batch once, in whichever process, and join the results in the order of the batches."""
        batches, world = self.task.val_batches(), self.together.world
        mine = [Key("val", rows, whole(len(rows))) for rows in batches[self.together.rank :: world]]
        self.stepper.judged.eval()
        reader, judged = self.loader.read(mine, self._stop), []
        for _ in range(math.ceil(len(batches) / world)):  # a process may have a batch less, but goes along
            batch = next(reader, None)
            self._agree(batch)
            self._heartbeat("validation")
            if batch is not None:
                with torch.inference_mode(), self.fabric.autocast():
                    judged.append(self.task.judge(self.stepper.judged, batch))
        return self._metrics(list(_interleaved(self.together.gather(judged))))

    def _metrics(self, judged: list[ValidationBatch]) -> dict[str, float]:
        sums = torch.stack([one.sums.double().cpu() for one in judged]).sum(0)
        weights = torch.stack([one.weights for one in judged]).sum(0)
        loss = mean_loss(sums, weights).item()
        if not math.isfinite(loss):
            raise TrainingError(
                where=f"validation of epoch {self.position.epoch + 1}",
                expected="a finite loss",
                found=str(loss),
                fix="lower the learning rate or set clip_norm",
            )
        return {"val_loss": loss} | self.task.metrics([one.outputs for one in judged])

    def _end_epoch(self, metrics: dict[str, float]) -> None:
        """Record, keep the best, and checkpoint."""
        position, rate = self.position, self.stepper.rate(self._done())
        row: dict[str, float] = {"epoch": position.epoch + 1.0, "train_loss": self._loss_sum() / self.steps_per_epoch}
        position.rows.append(row | metrics | {"learning_rate": rate})
        better = metrics["val_loss"] < position.best
        position.best = min(position.best, metrics["val_loss"])
        position.epoch, position.step, position.loss_sum = position.epoch + 1, 0, 0.0
        if self.together.writes:
            if better:
                save_model(self.stepper.judged, self.run.best)
            self.run.write_metrics(position.rows)
        self._save()  # last: a run killed before it does the epoch again
        if self.together.writes:
            self.run.write_events(position.rows, self._started)

    def _loss_sum(self) -> float:
        """Return the sum of this epoch's losses so far, over all processes."""
        return self.together.total(torch.tensor([self.position.loss_sum], dtype=torch.float64)).item()

    def _save(self) -> None:
        position = vars(self.position) | {"loss_sum": self._loss_sum()}
        if self.together.writes:
            self.run.save_state(self.task.model, self.stepper.state() | {"position": position})

    def _restore(self) -> None:
        state: dict[str, Any] | None = self.run.load_state()
        if state is None:
            return
        try:
            self.stepper.restore(state)
        except (RuntimeError, ValueError) as error:  # torch's, for other names or shapes
            raise TrainingError(
                where=self.run.last,
                expected="the weights of this configuration's model",
                found=f"others ({' '.join(str(error).split())[:200]})",
                fix="a run can't go on with other layers (--resume-changed neither): choose another --out",
            ) from error
        self.position = Position(**state["position"])
        if not self.together.writes:
            self.position.loss_sum = 0.0  # process 0 has it

    def _heartbeat(self, phase: str) -> None:
        if self.together.writes:
            self.run.status.update(self._done(), self._total(), epoch=self.position.epoch + 1, phase=phase)

    def _non_finite(self, value: float, studies: list[str]) -> TrainingError:
        return TrainingError(
            where=f"epoch {self.position.epoch + 1}, step {self.position.step + 1}",
            expected="a finite loss",
            found=f"{value} in a batch of the studies {', '.join(studies)}",
            fix="look at these studies, or lower the learning rate or set clip_norm",
        )


def _interleaved(shares: list[list[ValidationBatch]]) -> Iterator[ValidationBatch]:
    """Yield the batches of all processes in their own order: process r had those of number r, r + world ..."""
    return (one for one in chain.from_iterable(zip_longest(*shares)) if one is not None)
