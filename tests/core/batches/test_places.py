"""What a store keeps of emboli, read as windows."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from pectl.core.batches.places import AS_BOX, AS_MASK, NOT_MARKED, PlacesReader
from pectl.core.places.emboli import EmbolusSizes
from pectl.core.places.kept import KeptPlaces, places_path, write_places
from pectl.errors import StoreError

NOTHING = EmbolusSizes(volume_mm3=np.empty(0), thickest_mm=np.empty(0), n_slices=np.empty(0, int))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A study with a mask, of which embolus 300 needs two bytes, and one with boxes; a third has neither."""
    number = np.zeros((12, 6, 6), np.uint16)
    number[5, 1, 2], number[7, 4, 4] = 1, 300
    for uid, boxes in (("mask", False), ("box", True)):
        kept = KeptPlaces(
            number=number if uid == "mask" else number.clip(max=1)[::-1],
            affine=np.eye(4),
            spacing_mm=(1.0, 1.0, 1.0),
            sizes=NOTHING,
            in_box=np.empty(0, bool),
            boxes=boxes,
        )
        write_places(places_path(tmp_path, uid), kept)
    return tmp_path


def test_marks_are_those_of_the_windows_and_say_of_which_kind(store: Path) -> None:
    reader = PlacesReader(store, length=4)
    assert reader.studies == {"mask", "box"}
    for one in (reader, pickle.loads(pickle.dumps(reader))):  # noqa: S301 - as it goes to a worker
        embolus, how = one.read(["mask", "none", "box", "mask"], [4, 0, 6, 0], (6, 6))
        assert how.tolist() == [AS_MASK, NOT_MARKED, AS_BOX, AS_MASK]
        assert (embolus.shape, embolus.dtype) == ((4, 4, 6, 6), bool)
        assert np.argwhere(embolus).tolist() == [[0, 1, 1, 2], [0, 3, 4, 4], [2, 0, 1, 2]]


def test_a_damaged_file_is_named(store: Path) -> None:
    places_path(store, "box").write_bytes(b"no HDF5")
    with pytest.raises(StoreError, match=r"box\.h5: expected a whole HDF5 file"):
        PlacesReader(store, length=4).read(["mask", "box"], [0, 0], (6, 6))
