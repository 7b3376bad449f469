"""Where emboli lie in windows: what a store keeps of the masks and boxes of a set, read as windows are."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pectl.core.batches.windows import OpenVolumes
from pectl.core.places.kept import BOX, places_path

NOT_MARKED, AS_MASK, AS_BOX = 0, 1, 2
"""How the emboli of a window's study are marked; not at all, where the store has neither masks nor boxes of it."""


class PlacesReader:
    """Reads what is marked on windows.

    Args:
        store: folder of a study store.
        length: T slices of a window.
    """

    def __init__(self, store: Path, *, length: int) -> None:
        path_of = partial(places_path, store)
        self.studies = frozenset(path.stem for path in path_of("").parent.glob("*.h5"))
        """Those of which the store has masks or boxes."""
        self._volumes, self._length = OpenVolumes(path_of, "number"), length

    def read(
        self, uids: Sequence[str], starts: Sequence[int], shape: tuple[int, ...]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int8]]:
        """Return where emboli are marked on windows, (B, T, S, S), and (B,) how: NOT_MARKED, AS_MASK or AS_BOX.

        Args:
            uids: B studies, one for each window.
            starts: (B,) first slices.
            shape: (S, S) of the store's slices.

        Raises:
            StoreError: a file can't be read; it is named.
        """
        embolus = np.zeros((len(uids), self._length, *shape), bool)
        how = np.zeros(len(uids), np.int8)
        for row, (uid, start) in enumerate(zip(uids, starts, strict=True)):
            if uid not in self.studies:
                continue
            try:
                volume = self._volumes[uid]
                embolus[row] = volume[start : start + self._length] > 0
                how[row] = AS_BOX if volume.file.attrs["marked_as"] == BOX else AS_MASK
            except (OSError, KeyError) as error:
                raise self._volumes.damaged(uid, error) from error
        return embolus, how
