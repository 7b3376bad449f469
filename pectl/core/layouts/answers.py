"""Exam labels that follow from what a set says of a study: what isn't said, and doesn't follow, is unknown."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pectl.core.labels.names import CENTRAL, INDETERMINATE, NEGATIVE, PE_LABELS, STUDY_LABELS
from pectl.core.layouts.layout import table_of

Exam = dict[str, float]


def unknown() -> Exam:
    """Return the labels of a study of which nothing is known."""
    return dict.fromkeys(STUDY_LABELS, np.nan)


def without_pe() -> Exam:
    """Return the labels of a study without PE: there is none at any place and of any age; RV/LV is undefined."""
    return unknown() | {NEGATIVE: 1.0, INDETERMINATE: 0.0} | dict.fromkeys(PE_LABELS, 0.0)


def with_pe(**known: float) -> Exam:
    """Return the labels of a study with PE, and what else is known of it."""
    return unknown() | {NEGATIVE: 0.0, INDETERMINATE: 0.0} | known


def with_central_pe(central: float) -> Exam:
    """Return the labels of a study with PE, central or not."""
    return with_pe(**{CENTRAL: central})


def exam_table(exams: Mapping[str, Exam]) -> pd.DataFrame:
    """Return the labels of all studies as a table."""
    return table_of(exams, STUDY_LABELS).astype(np.float64)
