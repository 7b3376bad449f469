"""What a phantom knows of itself: where its emboli, arteries and lungs lie."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pectl.errors import InputMissingError

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class PhantomTruth:
    """Masks of one phantom, (D, H, W) bool, and the affine from (d, h, w, 1) to LPS mm."""

    embolus: BoolArray
    artery: BoolArray
    lung: BoolArray
    affine: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]


def read_phantom_truth(path: Path) -> PhantomTruth:
    """Read `truth/<StudyInstanceUID>.npz` of `pectl phantom`.

    Raises:
        InputMissingError: no such file, or it lacks a mask.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            return PhantomTruth(**{name: data[name] for name in PhantomTruth.__dataclass_fields__})
    except (OSError, KeyError, ValueError) as error:
        raise InputMissingError(
            where=path,
            expected="the truth of a phantom",
            found=str(error).splitlines()[0],
            fix="give the folder truth/ of pectl phantom",
        ) from error


_MM3_PER_ML = 1000.0


def embolus_volumes_ml(folder: Path, uids: Iterable[str]) -> pd.Series:
    """Return the volume of all emboli of each study in ml; NaN where there is none.

    Args:
        folder: `truth/` of `pectl phantom`.
        uids: StudyInstanceUIDs.

    Raises:
        InputMissingError: a study has no truth there.
    """
    volumes = {}
    for uid in uids:
        truth = read_phantom_truth(folder / f"{uid}.npz")
        volumes[uid] = truth.embolus.sum() * float(np.prod(truth.spacing_mm)) / _MM3_PER_ML or np.nan
    return pd.Series(volumes, dtype=np.float64, name="embolus_volume_ml")
