"""The rules between the labels of a study; they hold without exception in RSPECT (Colak et al. 2021)."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pectl.core.labels.names import (
    ACUTE_AND_CHRONIC,
    CENTRAL,
    CHRONIC,
    INDETERMINATE,
    LEFT,
    NEGATIVE,
    RIGHT,
    RV_LV_GTE_1,
    RV_LV_LT_1,
)


def breaches(exam: pd.DataFrame, any_positive_image: NDArray[np.bool_] | None) -> dict[str, list[str]]:
    """Return each rule with the studies that break it.

    Args:
        exam: study labels 0 or 1 by StudyInstanceUID; rules on QA labels are left out where there are none.
        any_positive_image: (n,) whether some image of the study shows PE; None where images have no labels.
    """
    label = {str(name): (exam[name] == 1).to_numpy() for name in exam.columns}
    broken = _of_type(label, any_positive_image) | _of_positives(label)
    return {rule: exam.index[mask].tolist() for rule, mask in broken.items()}


def _of_type(label: dict[str, NDArray[np.bool_]], any_image: NDArray[np.bool_] | None) -> dict[str, NDArray[np.bool_]]:
    negative, indeterminate = label[NEGATIVE], label[INDETERMINATE]
    broken = {"negative_exam_for_pe and indeterminate exclude each other": negative & indeterminate}
    if any_image is not None:
        positive = ~negative & ~indeterminate
        broken["a study is positive if and only if some image shows PE"] = positive != any_image
    if {"qa_motion", "qa_contrast"} <= set(label):
        poor = label["qa_motion"] | label["qa_contrast"]
        broken["indeterminate if and only if qa_motion or qa_contrast"] = indeterminate != poor
    return broken


def _of_positives(label: dict[str, NDArray[np.bool_]]) -> dict[str, NDArray[np.bool_]]:
    positive = ~label[NEGATIVE] & ~label[INDETERMINATE]
    rv_lv = label[RV_LV_GTE_1].astype(int) + label[RV_LV_LT_1]
    placed = label[LEFT] | label[RIGHT] | label[CENTRAL]
    chronic, both = label[CHRONIC], label[ACUTE_AND_CHRONIC]
    return {
        "a positive study has exactly one RV/LV label": positive & (rv_lv != 1),
        "a positive study has PE on the left, on the right or centrally": positive & ~placed,
        "chronic_pe and acute_and_chronic_pe exclude each other": chronic & both,
        "a study without PE has none of the seven labels of PE": ~positive & ((rv_lv > 0) | placed | chronic | both),
    }
