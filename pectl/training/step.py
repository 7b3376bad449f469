"""One optimizer step: gradients of a batch in one or several passes, clipped, averaged over time; its state."""

import math
from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pectl.config import OptimizerConfig
from pectl.core.batches.share import Share
from pectl.core.models.checkpoint import Model
from pectl.training.schedule import rate_factor

LossOf = Callable[[nn.Module, Share], Tensor]
"""The loss of some rows of a batch, of which the losses of all rows are the sum."""


class NonFiniteLossError(ArithmeticError):
    """The loss of some rows of a batch is NaN or infinite."""

    def __init__(self, value: float, share: Share) -> None:
        super().__init__(f"a loss of {value}")
        self.value, self.share = value, share


class Stepper:
    """A model with its optimizer, and how a step is made.

    Attributes:
        model: what is trained, set up for device, precision and processes.
        bare: the same without that, as it is saved.
        judged: what is validated and kept as best: `bare`, or the moving average of its weights.
    """

    def __init__(
        self,
        model: Model,
        config: OptimizerConfig,
        *,
        fabric: Fabric,
        seed: int,
        steps_per_epoch: int,
        compiled: bool = False,
    ) -> None:
        self._config, self._fabric, self._seed, self._steps_per_epoch = config, fabric, seed, steps_per_epoch
        optimizer = AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        self.bare = model
        ready: nn.Module = torch.compile(model) if compiled else model  # type: ignore[assignment]  # a module as well
        self.model, self._optimizer = fabric.setup(ready, optimizer)
        self._average = _moving_average(model, config.ema_decay) if config.ema_decay else None
        self.judged: Model = model if self._average is None else self._average.module  # type: ignore[assignment]  # a copy

    def step(self, number: int, share: Share, loss_of: LossOf) -> float:
        """Make the step of a number, counted from 0 over all epochs, and return the loss of the share.

        Args:
            number: fixes, with the seed, what is random in it.
            share: the rows of the batch that this process computes.
            loss_of: is called for consecutive parts of the share.

        Raises:
            NonFiniteLossError: nothing has been changed but gradients.
        """
        self.model.train()
        self._optimizer.zero_grad()
        parts = share.split(self._config.accumulate)
        value = sum(self._backward(number, part, loss_of, last=part is parts[-1]) for part in parts)
        if self._config.clip_norm:
            self._fabric.clip_gradients(
                self.model, self._optimizer, max_norm=self._config.clip_norm, error_if_nonfinite=False
            )
        self._set_rate(number)
        self._optimizer.step()
        if self._average is not None:
            self._average.update_parameters(self.bare)
        return value

    def _backward(self, number: int, part: Share, loss_of: LossOf, *, last: bool) -> float:
        """Add the gradients of some rows; those of all processes are joined at the last part."""
        # augmentation and dropout of this step: each part draws for the whole batch and takes its rows
        torch.manual_seed((self._seed * 1_000_003 + number) % 2**63)
        with self._fabric.no_backward_sync(self.model, enabled=not last):
            loss = loss_of(self.model, part)
            value = loss.item()
            if not math.isfinite(value):
                raise NonFiniteLossError(value, part)
            self._fabric.backward(loss * self._fabric.world_size)  # DDP takes the mean over processes, we want the sum
        return value

    def _set_rate(self, number: int) -> None:
        rate = self.rate(number)
        for group in self._optimizer.param_groups:
            group["lr"], group["weight_decay"] = rate, self._config.weight_decay

    def rate(self, number: int) -> float:
        """Return the learning rate of a step."""
        return self._config.learning_rate * rate_factor(number, self._config, self._steps_per_epoch)

    def state(self) -> dict[str, Any]:
        """Return weights, optimizer, loss scale (fp16) and moving average; there is no other state."""
        return {
            "model": self.bare.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._fabric.strategy.precision.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state; a moving average that it lacks begins with its weights."""
        self.bare.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._fabric.strategy.precision.load_state_dict(state["scaler"])
        if self._average is not None and state["average"] is not None:
            self._average.load_state_dict(state["average"])


def _moving_average(model: nn.Module, decay: float) -> AveragedModel:
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch's
    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)
