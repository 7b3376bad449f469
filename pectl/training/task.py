"""What a stage brings to the training loop."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray
from torch import Tensor, nn

from pectl.core.batches.share import Share
from pectl.core.models.checkpoint import Model
from pectl.training.loader import Batch, Load, Rows

Outputs = tuple[NDArray[Any], ...]
"""What a batch of validation leaves for the metrics."""


class ValidationBatch(NamedTuple):
    """A batch of validation: the loss as sums and weights (see losses.py), and what metrics are made of."""

    sums: Tensor
    weights: Tensor
    outputs: Outputs


class Task(Protocol):
    """What a stage brings to the loop."""

    means: int
    """How many means its loss is the sum of (see losses.py)."""

    @property
    def model(self) -> Model:
        """Return what is trained."""

    @property
    def load(self) -> Load:
        """Return what reads batches of the splits `train` and `val`."""

    def batches(self, epoch: int) -> Sequence[Rows]:
        """Return the rows of each batch of an epoch, in an order fixed by seed and epoch."""

    def val_batches(self) -> Sequence[Rows]:
        """Return the rows of each batch of validation."""

    def weights(self, batch: Batch) -> Tensor:
        """Return the (means,) float64 weights of what is known in a batch, which the sums are divided by."""

    def sums(self, model: nn.Module, batch: Batch, share: Share) -> Tensor:
        """Return the (means,) sums of the training loss over a share of a batch; may draw from torch's generator."""

    def judge(self, model: nn.Module, batch: Batch) -> ValidationBatch:
        """Return what validation needs of a batch."""

    def metrics(self, outputs: Sequence[Outputs]) -> dict[str, float]:
        """Return the validation metrics from the outputs of all batches, in their order."""

    def studies(self, rows: Rows) -> list[str]:
        """Return the studies of training rows, to name them in an error."""
