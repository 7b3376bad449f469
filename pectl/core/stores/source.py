"""The original slices of a study, as stores keep them: UID, position and label of each."""

from __future__ import annotations  # h5py is imported by who has a file open

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True, kw_only=True)
class SourceSlices:
    """The n original slices of a study, from feet to head.

    Attributes:
        sop_instance_uid: (n,) str.
        position_mm: (n,) along the slice normal.
        label: (n,) int8, -1 unknown.
        grid_index: (n,) int32, the nearest slice of the grid; -1 outside the box.
        image_position_patient: (n, 3) LPS mm.
    """

    sop_instance_uid: NDArray[np.object_]
    position_mm: NDArray[np.float64]
    label: NDArray[np.int8]
    grid_index: NDArray[np.int32]
    image_position_patient: NDArray[np.float64]


def write_source(file: h5py.File, source: SourceSlices) -> None:
    """Write the group `/source`."""
    import h5py

    group = file.create_group("source")
    text = h5py.string_dtype("utf-8")
    group.create_dataset("sop_instance_uid", data=list(source.sop_instance_uid), dtype=text)
    for name in ("position_mm", "label", "grid_index", "image_position_patient"):
        group[name] = getattr(source, name)


def read_source(file: h5py.File) -> SourceSlices:
    """Read the group `/source`."""
    group = file["source"]
    return SourceSlices(
        sop_instance_uid=np.asarray(group["sop_instance_uid"].asstr()[:], object),
        **{name: group[name][:] for name in ("position_mm", "label", "grid_index", "image_position_patient")},
    )
