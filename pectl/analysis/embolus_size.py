"""How much clot a phantom has, from its truth: a property that real data don't tell."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from pectl.analysis.explain_truth import read_truth

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
        truth = read_truth(folder / f"{uid}.npz")
        volumes[uid] = truth.embolus.sum() * float(np.prod(truth.spacing_mm)) / _MM3_PER_ML or np.nan
    return pd.Series(volumes, dtype=np.float64, name="embolus_volume_ml")
