"""What the processes of a training do as one: add up, gather, let process 0 write. One process does it by itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch import distributed as dist

from pectl.errors import TrainingError

T = TypeVar("T")
LOST_PEER = ("Connection closed by peer", "Connection reset by peer", "gloo", "NCCL", "Broken pipe")
"""What the messages of torch.distributed hold when another process has gone."""


class Together:
    """The processes of a training; every method is called by all of them at the same place."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric, self.rank, self.world = fabric, fabric.global_rank, fabric.world_size
        self.writes = fabric.is_global_zero

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over all processes of float64 values."""
        if self.world == 1:
            return values
        summed = values.to(self.fabric.device, copy=True)
        dist.all_reduce(summed)
        return summed.to(values.device)

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, in their order."""
        if self.world == 1:
            return [value]
        values: list[T | None] = [None] * self.world
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]  # all are filled

    def once(self, action: Callable[[], object]) -> None:
        """Let process 0 act while the others wait; where it fails they end too, and the error is its own."""
        failure = None
        if self.writes:
            try:
                action()
            except Exception as error:  # noqa: BLE001 - raised again once the others know
                failure = error
        failed = self.total(torch.tensor([float(failure is not None)], dtype=torch.float64)).item()
        if failure is not None:
            raise failure
        if failed:
            raise SystemExit(1)

    @contextmanager
    def as_one(self) -> Iterator[None]:
        """Say in one line that another process has ended, where torch would show a trace of its network code.

        Raises:
            TrainingError: another process ended; its own error says why.
        """
        try:
            yield
        except RuntimeError as error:
            if self.world == 1 or not (isinstance(error, dist.DistError) or any(w in str(error) for w in LOST_PEER)):
                raise
            raise TrainingError(
                where=f"process {self.rank} of {self.world}",
                expected="all processes of the training to go on",
                found="that another one has ended",
                fix="see its own message, then go on with --resume",
            ) from error
