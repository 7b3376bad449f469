"""Data that tests of several layers make."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from pectl.core.data.labels import EXAM_LABELS
from pectl.core.data.predictions import Predictions
from pectl.core.decisions.consistency import PATTERNS

Cohort = tuple[Predictions, pd.DataFrame]


@pytest.fixture
def make_cohort() -> Callable[..., Cohort]:
    """A factory of predictions of a model of some skill, and the truth they are judged by."""
    return _make_cohort


def _make_cohort(
    n: int = 200,
    *,
    seed: int = 0,
    split: str = "test",
    skill: float = 1.0,
    slices: int = 12,
    images: bool = True,
) -> Cohort:
    rng = np.random.default_rng(seed)
    weights = np.array([0.58, 0.07] + [0.35 / 42] * 42)
    labels = PATTERNS[rng.choice(44, size=n, p=weights)].astype(float)
    uids = pd.Index([f"{split}{seed}-{k:04d}" for k in range(n)], name="StudyInstanceUID")
    truth = pd.DataFrame(labels, index=uids, columns=list(EXAM_LABELS))
    pe = (truth["negative_exam_for_pe"] == 0) & (truth["indeterminate"] == 0)
    truth.loc[~pe, ["rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1"]] = np.nan
    exam = pd.DataFrame(_scores(rng, labels, skill), index=uids, columns=list(EXAM_LABELS))
    positive = (rng.random((n, slices)) < 0.3) & pe.to_numpy()[:, None]
    positive[pe, 0] = True
    image = _units(uids, positive, rng, skill).rename(columns={"position": "SOPInstanceUID"})
    image["SOPInstanceUID"] = [f"{uid}.{k}" for uid in uids for k in range(slices)]
    windows = positive.reshape(n, slices // 4, 4).any(axis=2)
    window = _units(uids, windows, rng, skill).rename(columns={"position": "window_start"})
    window.insert(3, "stage1_score", _scores(rng, windows.ravel().astype(float), 0.7 * skill))
    fingerprint = f"fingerprint-{seed // 100}"
    return Predictions(split, exam, window, image if images else None, fingerprint), truth


def _scores(rng: np.random.Generator, labels: np.ndarray, skill: float) -> np.ndarray:
    return 1 / (1 + np.exp(-(skill * (2 * labels - 1.4) + rng.normal(size=labels.shape))))


def _units(uids: pd.Index, positive: np.ndarray, rng: np.random.Generator, skill: float) -> pd.DataFrame:
    n, length = positive.shape
    return pd.DataFrame(
        {
            "StudyInstanceUID": np.repeat(uids.to_numpy(), length),
            "position": np.tile(np.arange(length), n),
            "score": _scores(rng, positive.ravel().astype(float), skill),
            "label": positive.ravel().astype(np.int8),
        }
    )
