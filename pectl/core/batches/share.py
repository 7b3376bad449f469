"""Shares of a batch: which of its rows one process, or one pass of gradient accumulation, computes."""

from itertools import pairwise
from typing import NamedTuple


class Share(NamedTuple):
    """The rows `first` to `first + size` of a batch of `total` rows.

    What is random in a step is drawn for the whole batch, and a share takes its rows of it, so that the same rows are
    treated alike in however many shares a batch is computed.
    """

    first: int
    size: int
    total: int

    @property
    def rows(self) -> slice:
        """Return the share's place in the batch."""
        return slice(self.first, self.first + self.size)

    def split(self, parts: int) -> "list[Share]":
        """Return the share in consecutive parts whose sizes differ by at most one."""
        bounds = [self.first + self.size * part // parts for part in range(parts + 1)]
        return [Share(low, high - low, self.total) for low, high in pairwise(bounds)]


def whole(total: int) -> Share:
    """Return all rows of a batch."""
    return Share(0, total, total)
