"""What a store keeps of where emboli lie: a file a study in `places/`, and the table of all of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pectl.core.labels.names import STUDY
from pectl.core.places.emboli import EmbolusSizes, Numbers
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.core.stores.tables import MADE_BY

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("volume_mm3", "thickest_mm", "n_slices", "in_box")
MASK, BOX = "mask", "box"
"""As what emboli can be marked."""


@dataclass(frozen=True, kw_only=True)
class KeptPlaces:
    """The n emboli of a study of a store.

    Attributes:
        number: (D, S, S) on the store's grid.
        affine: (4, 4) of that grid, from (d, h, w, 1) to LPS mm.
        spacing_mm: (dz, dy, dx) of that grid.
        sizes: of each, measured on the original images.
        in_box: (n,) whether some of it lies in the lung box, which is all that the store has.
        boxes: whether they are boxes around emboli, so that sizes are those of the boxes.
    """

    number: Numbers
    affine: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    sizes: EmbolusSizes
    in_box: NDArray[np.bool_]
    boxes: bool


def places_path(store: Path, uid: str) -> Path:
    """Return where a store keeps the emboli of a study."""
    return store / "places" / f"{uid}.h5"


def write_places(path: Path, places: KeptPlaces) -> None:
    """Write the emboli of a study, whole or not at all; `truth.read_truth` reads them."""
    from pectl.core.storage.h5 import VOXEL_FILTER, create_h5  # h5py comes with it

    small = places.number.astype(np.min_scalar_type(int(places.number.max())))
    with create_h5(path) as file:
        file.create_dataset("number", data=small, chunks=(1, *small.shape[1:]), **VOXEL_FILTER)
        file["affine"], file["spacing_mm"] = places.affine, np.array(places.spacing_mm)
        file["volume_mm3"], file["thickest_mm"] = places.sizes.volume_mm3, places.sizes.thickest_mm
        file["n_slices"], file["in_box"] = places.sizes.n_slices, places.in_box
        file.attrs.update({"marked_as": BOX if places.boxes else MASK, "use": RESEARCH_USE})


def emboli_table(store: Path, uids: Iterable[str]) -> "pd.DataFrame":
    """Return the emboli of all studies, a row each.

    Raises:
        StoreError: a file is damaged.
    """
    import pandas as pd

    rows = [row for uid in uids if places_path(store, uid).exists() for row in _rows(store, uid)]
    return pd.DataFrame(rows, columns=[STUDY, "embolus", *COLUMNS, "marked_as"])


def _rows(store: Path, uid: str) -> list[list[object]]:
    from pectl.core.storage.h5 import read_h5  # h5py comes with it

    with read_h5(places_path(store, uid), made_by=MADE_BY) as file:
        columns = [file[name][:].astype(int) if name == "in_box" else file[name][:].round(3) for name in COLUMNS]
        values = list(zip(*(column.tolist() for column in columns), strict=True))
        marked_as = str(file.attrs["marked_as"])
    return [[uid, place, *row, marked_as] for place, row in enumerate(values, 1)]
