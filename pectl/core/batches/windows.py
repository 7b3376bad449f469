"""Windows: runs of consecutive grid slices, where they start, and which label they have."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pectl.core.labels.names import UNKNOWN
from pectl.core.storage.h5 import damaged, open_h5
from pectl.core.stores.tables import MADE_BY
from pectl.errors import ConfigError, StoreError

OPEN_FILES = 64
"""Study files a reader keeps open at once."""


def window_starts(n_slices: int, *, length: int, stride: int) -> NDArray[np.int64]:
    """Return the first slices of the windows that cover a study; the last is shifted to fit, nothing is padded.

    Raises:
        ConfigError: the study is shorter than one window.

    Example:
        >>> window_starts(25, length=10, stride=10)
        array([ 0, 10, 15])
    """
    if n_slices < length:
        raise ConfigError(
            where=f"windows.length = {length}",
            expected="at most as many slices as each study has",
            found=f"a study of {n_slices}",
            fix="set a smaller windows.length or preprocess.slice_spacing_mm",
        )
    last = n_slices - length
    starts = np.arange(0, last + 1, stride)
    return starts if starts[-1] == last else np.append(starts, last)


def window_places(starts: NDArray[np.integer], *, length: int) -> NDArray[np.float32]:
    """Return where the windows of one study lie along the body: (N, 2).

    First the centre's share of the lung box, -1 at its first slice and 1 at its last; then the centre's distance from
    the middle of the box in units of 100 slices, which tells large lungs from small ones.
    """
    depth = int(starts[-1]) + length
    offset = starts + length / 2 - depth / 2
    return np.stack([2 * offset / depth, offset / 100], 1).astype(np.float32)


def window_labels(slice_label: NDArray[np.int8], starts: NDArray[np.integer], *, length: int) -> NDArray[np.int8]:
    """Return 1 for windows with any positive slice, 0 for all negative, unknown where no slice says more."""
    spans = slice_label[starts[:, None] + np.arange(length)]  # (N, T)
    return np.where((spans == 1).any(1), 1, np.where((spans == UNKNOWN).any(1), UNKNOWN, 0)).astype(np.int8)


@dataclass(frozen=True)
class WindowIndex:
    """The windows of many studies, as parallel arrays over all windows M.

    Attributes:
        uids: the studies.
        study: (M,) index into `uids`.
        start: (M,) first slice.
        slice_labels: (M, T) int8 labels of the window's slices.
        label: (M,) int8 label of the window.
    """

    uids: tuple[str, ...]
    study: NDArray[np.int64]
    start: NDArray[np.int64]
    slice_labels: NDArray[np.int8]
    label: NDArray[np.int8]

    @classmethod
    def build(cls, slice_labels: dict[str, NDArray[np.int8]], *, length: int, stride: int) -> "WindowIndex":
        """Index the windows of the studies whose (D,) slice labels are given."""
        starts = [window_starts(len(labels), length=length, stride=stride) for labels in slice_labels.values()]
        spans = [
            labels[first[:, None] + np.arange(length)]
            for labels, first in zip(slice_labels.values(), starts, strict=True)
        ]
        label = [
            window_labels(labels, first, length=length)
            for labels, first in zip(slice_labels.values(), starts, strict=True)
        ]
        return cls(
            tuple(slice_labels),
            np.repeat(np.arange(len(starts)), [len(first) for first in starts]),
            np.concatenate(starts),
            np.concatenate(spans),
            np.concatenate(label),
        )

    def __len__(self) -> int:
        """Return the number of windows M."""
        return len(self.start)

    def known(self) -> "WindowIndex":
        """Return the windows whose label is known."""
        rows = self.label != UNKNOWN
        return WindowIndex(self.uids, self.study[rows], self.start[rows], self.slice_labels[rows], self.label[rows])


Empty = Callable[[tuple[int, ...]], NDArray[np.int16]]
"""Makes an array of a shape, of whatever its memory holds."""


def empty_hu(shape: tuple[int, ...]) -> NDArray[np.int16]:
    """Return an array in memory of its own."""
    return np.empty(shape, np.int16)


class OpenVolumes:
    """The volumes of studies, some kept open: opening one costs a third of a window.

    A copy in another process opens its own.

    Args:
        path_of: the file of a study.
        name: of its dataset, (D, S, S) in chunks of a slice.
    """

    def __init__(self, path_of: Callable[[str], Path], name: str) -> None:
        self._path_of, self._name = path_of, name
        self._open: OrderedDict[str, h5py.Dataset] = OrderedDict()
        self._known: set[str] = set()  # what has been open

    def __getstate__(self) -> dict[str, object]:
        """Leave the open files behind."""
        return vars(self) | {"_open": OrderedDict()}

    def __getitem__(self, uid: str) -> h5py.Dataset:
        """Return the volume of a study.

        Raises:
            StoreError: its file is missing or can't be read.
        """
        if uid in self._open:
            self._open.move_to_end(uid)
        else:
            file = open_h5(self._path_of(uid), made_by=MADE_BY, known=uid in self._known)
            try:
                self._open[uid] = file[self._name]
            except KeyError as error:
                file.close()
                raise self.damaged(uid, error) from error
            self._known.add(uid)
            if len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)[1].file.close()
        return self._open[uid]

    def damaged(self, uid: str, error: Exception) -> StoreError:
        """Return what to raise where a study's file can't be read."""
        return damaged(self._path_of(uid), error, made_by=MADE_BY)


class WindowReader:
    """Reads windows of int16 HU in batches."""

    def __init__(self, path_of: Callable[[str], Path], *, length: int) -> None:
        self._volumes = OpenVolumes(path_of, "hu")
        self._length = length

    def read(self, uids: Sequence[str], starts: Sequence[int], empty: Empty = empty_hu) -> NDArray[np.int16]:
        """Return (B, T, S, S) int16 HU of the windows that start at `starts` in the studies `uids`.

        Args:
            uids: B studies, one for each window.
            starts: (B,) first slices.
            empty: where the array's memory comes from.

        Raises:
            StoreError: a study file is missing or can't be read; it is named.
        """
        first = self._volumes[uids[0]]
        batch = empty((len(uids), self._length, *first.shape[1:]))
        for row, (uid, start) in enumerate(zip(uids, starts, strict=True)):
            volume = self._volumes[uid]
            try:
                volume.read_direct(batch, np.s_[start : start + self._length], np.s_[row])
            except OSError as error:
                raise self._volumes.damaged(uid, error) from error
        return batch
