"""What a model says about studies, windows and images; and what is derived from the nine exam labels."""

from __future__ import annotations  # pandas is imported by who has tables

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pectl.core.labels.names import INDETERMINATE, NEGATIVE, PE_PRESENT, RV_LV, STUDY

if TYPE_CHECKING:
    import pandas as pd

EXTERNAL = "external"
"""Name of the split of predictions that were read from a CSV."""
Indeterminate = Literal["exclude", "as-negative"]
RvLv = Literal["given-pe", "with-pe"]


@dataclass(frozen=True)
class Predictions:
    """What one model says of one split; scores are in [0, 1].

    Attributes:
        split: its name (train, val, test; `external` for a CSV of any model).
        exam: index StudyInstanceUID, the nine `EXAM_LABELS` columns, and `pe_present` where the model says it itself;
            no rows where there is no exam part.
        window: columns StudyInstanceUID, window_start, score (stage 2), stage1_score, label (-1 unknown).
        image: columns StudyInstanceUID (text; a category if from a table), SOPInstanceUID, label (-1 unknown), and
            score, which the images of our model have once `Decisions.scored` has made it of `image_logits`.
        split_fingerprint: of the split of the study store; empty where there is none.
        rv_lv: what the two RV/LV columns mean: the probability given PE (of our models; they sum to one), or of PE
            with that ratio (what the competition scores, and a table of any model has).
        notes: what a reader of the result should know about them.
        window_features: (rows of `window`, F) stage 1 features; None for a table of any model.
        image_logits: (rows of `image`, 2) see `pectl.inference.sequences.image_logits`; None for a table of any model.
    """

    split: str
    exam: pd.DataFrame
    window: pd.DataFrame | None = None
    image: pd.DataFrame | None = None
    split_fingerprint: str = ""
    rv_lv: RvLv = "with-pe"
    notes: tuple[str, ...] = ()
    window_features: NDArray[np.float32] | None = None
    image_logits: NDArray[np.float64] | None = None

    def uids(self) -> list[str]:
        """Return the studies with any prediction, sorted."""
        parts = [self.exam.index.to_series()]
        parts += [part[STUDY] for part in (self.window, self.image) if part is not None]
        return sorted(set().union(*(part.unique() for part in parts)))


def as_competition(exam: pd.DataFrame, rv_lv: RvLv) -> pd.DataFrame:
    """Return the table with RV/LV columns as the competition means them: PE with that ratio.

    Those that were given PE, and summed to one, sum to `pe_present` then.

    Args:
        exam: the nine labels and `pe_present`.
        rv_lv: what the RV/LV columns mean now.
    """
    if rv_lv == "with-pe":
        return exam
    return exam.assign(**{name: exam[name] * exam[PE_PRESENT] for name in RV_LV})


def competition_truth(truth: pd.DataFrame) -> pd.DataFrame:
    """Return the truth with RV/LV labels of studies that are known to be without PE as 0, not undefined."""
    without_pe = (truth[NEGATIVE] == 1) | (truth[INDETERMINATE] == 1)
    filled = {name: truth[name].mask(without_pe & truth[name].isna(), 0.0) for name in RV_LV}
    return truth.assign(**filled)


def pe_score(exam: pd.DataFrame) -> pd.Series:
    """Return the score of PE being present: the model's own, else (1 - negative) * (1 - indeterminate)."""
    if PE_PRESENT in exam:
        return exam[PE_PRESENT]
    return ((1 - exam[NEGATIVE]) * (1 - exam[INDETERMINATE])).rename(PE_PRESENT)


def pe_truth(truth: pd.DataFrame, indeterminate: Indeterminate) -> pd.Series:
    """Return 1 where PE is present, else 0; NaN where unknown, and in indeterminate studies if excluded."""
    present = 1 - truth[[NEGATIVE, INDETERMINATE]].max(axis=1, skipna=False)
    if indeterminate == "exclude":
        present = present.mask(truth[INDETERMINATE] == 1)
    return present.rename(PE_PRESENT)
