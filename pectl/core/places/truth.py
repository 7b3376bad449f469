"""Where the emboli of a study lie, as truth: of a phantom, or of what a public set marks and a store keeps."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pectl.core.places.digest import NO_PLACES
from pectl.core.places.emboli import number_parts
from pectl.core.storage.files import file_digest
from pectl.core.storage.h5 import read_h5
from pectl.core.stores.tables import MADE_BY
from pectl.errors import InputMissingError

BoolArray = NDArray[np.bool_]
_MM3_PER_ML = 1000.0
_FIX = "give a store that preprocess made with masks or boxes, or truth/ of pectl phantom"


@dataclass(frozen=True, kw_only=True)
class PlacesTruth:
    """Masks of one study on one grid.

    Attributes:
        embolus: (D, H, W), the voxels of all emboli.
        affine: (4, 4) from (d, h, w, 1) to LPS mm.
        spacing_mm: (3,).
        artery: (D, H, W); None where the set has none.
        lung: (D, H, W), lung with air; None where the set has none.
        number: (D, H, W), the number of the embolus from 1, 0 beside; None where touching parts are one embolus.
        chronic: (D, H, W), the voxels of emboli of a chronic kind; None where the set doesn't tell.
        ventricle: (D, H, W), both ventricles of the heart; None where the set has none.
        volume_mm3: (n,) of each numbered embolus, measured on the original images; None: count voxels.
    """

    embolus: BoolArray
    affine: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]
    artery: BoolArray | None = None
    lung: BoolArray | None = None
    chronic: BoolArray | None = None
    ventricle: BoolArray | None = None
    number: NDArray[np.integer[Any]] | None = None
    volume_mm3: NDArray[np.float64] | None = None

    def numbered(self) -> NDArray[np.integer[Any]]:
        """Return the number of the embolus at each voxel, (D, H, W), 0 beside; parts that touch are one."""
        return number_parts(self.embolus) if self.number is None else self.number

    @property
    def volume_ml(self) -> float:
        """Return the volume of all emboli."""
        if self.volume_mm3 is not None:
            return float(self.volume_mm3.sum()) / _MM3_PER_ML
        return float(self.embolus.sum() * np.prod(self.spacing_mm)) / _MM3_PER_ML


@dataclass(frozen=True)
class TruthFolder:
    """The truth of the studies of a phantom cohort or of a store.

    Attributes:
        path: folder of one file a study.
        of_store: whether it belongs to a store, in which studies may have no truth: their masks didn't fit.
    """

    path: Path
    of_store: bool

    @classmethod
    def open(cls, path: Path) -> "TruthFolder":
        """Open `truth/` of a phantom cohort, the cohort, `places/` of a store, or the store.

        Raises:
            InputMissingError: no such folder, or a store without masks and boxes.
        """
        if (path / "store.json").exists():
            path = path / "places"
        elif (path / "truth").is_dir():
            path = path / "truth"
        if not path.is_dir():
            raise InputMissingError(where=path, expected="a folder of truth", found="no such folder", fix=_FIX)
        return cls(path, (path.parent / "store.json").exists())

    def file(self, uid: str) -> Path:
        """Return where the truth of a study is."""
        return self.path / f"{uid}{'.h5' if self.of_store else '.npz'}"

    def digest(self, uid: str) -> str:
        """Return the identity of the truth of a study; `NO_PLACES` where there is none."""
        path = self.file(uid)
        return file_digest(path) if path.exists() else NO_PLACES

    def read(self, uid: str) -> PlacesTruth | None:
        """Read the truth of a study; None where a store has none of it.

        Raises:
            InputMissingError: a phantom has no truth, or a file isn't one.
            StoreError: the file of a store is damaged.
        """
        if self.of_store and not self.file(uid).exists():
            return None
        return read_truth(self.file(uid))


def read_truth(path: Path) -> PlacesTruth:
    """Read the truth of one study, of a phantom (.npz) or of a store (.h5).

    Raises:
        InputMissingError: a phantom's file isn't there, or lacks a mask.
        StoreError: a store's file isn't there, or is damaged.
    """
    return _read_kept(path) if path.suffix == ".h5" else _read_phantom(path)


def _read_kept(path: Path) -> PlacesTruth:
    with read_h5(path, made_by=MADE_BY) as file:
        number = file["number"][:]
        arrays = {name: file[name][:] for name in ("affine", "spacing_mm", "volume_mm3")}
        return PlacesTruth(embolus=number > 0, number=number, **arrays)


def _read_phantom(path: Path) -> PlacesTruth:
    try:
        with np.load(path, allow_pickle=False) as data:
            return PlacesTruth(**{name: data[name] for name in PlacesTruth.__dataclass_fields__ if name in data})
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputMissingError(
            where=path, expected="the truth of a study", found=str(error).splitlines()[0], fix=_FIX
        ) from error


def embolus_volumes_ml(folder: Path, uids: Iterable[str]) -> pd.Series:
    """Return the volume of all emboli of each study in ml; NaN where there is none, or it isn't known.

    Args:
        folder: as `TruthFolder.open` takes it.
        uids: StudyInstanceUIDs.

    Raises:
        InputMissingError: no such folder, or a phantom has no truth there.
    """
    truth = TruthFolder.open(folder)
    volumes = {}
    for uid in uids:
        masks = truth.read(uid)
        volumes[uid] = np.nan if masks is None else masks.volume_ml or np.nan
    return pd.Series(volumes, dtype=np.float64, name="embolus_volume_ml")
