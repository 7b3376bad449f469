import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pectl.core.labels.names import COMPETITION_WEIGHTS, EXAM_LABELS
from pectl.evaluation.competition import competition_loss


def _exam(rows):
    return pd.DataFrame(rows, columns=list(EXAM_LABELS), dtype=float)


def test_a_hand_computed_case():
    """Two studies, three images; every number below was worked out from the competition's formula."""
    truth = _exam([[0, 0, 0, 0, 1, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0, 0, np.nan, np.nan]])
    exam = _exam([[0.5] * 9, [0.8] + [0.1] * 8])
    image = pd.DataFrame(
        {
            "StudyInstanceUID": ["a", "a", "b"],
            "score": [0.75, 0.5, 0.9],
            "label": [1, 0, 0],
        }
    )
    first = np.log(2)  # all weights times log 2
    rest = 1 - 0.0736196319
    second = 0.0736196319 * -np.log(0.8) + rest * -np.log(0.9)
    each = 0.07361963 * 0.5
    images = each * (-np.log(0.75) + np.log(2))
    found = competition_loss(truth, exam, image)
    assert found.total == pytest.approx((first + second + images) / (2 + 2 * each), abs=1e-9)
    assert found.exam == pytest.approx((first + second) / 2, abs=1e-9)
    assert found.image == pytest.approx((-np.log(0.75) + np.log(2)) / 2, abs=1e-12)


def test_weights_of_the_exam_labels_add_up_to_one():
    assert sum(COMPETITION_WEIGHTS.values()) == pytest.approx(1.0, abs=1e-9)


def test_a_constant_half_costs_log_two_whatever_the_truth():
    truth = _exam(np.eye(9)[:2])
    assert competition_loss(truth, _exam(np.full((2, 9), 0.5))).exam == pytest.approx(np.log(2))


def test_unknown_labels_weigh_nothing():
    truth = _exam([[1, 0] + [np.nan] * 7])
    exam = _exam([[0.9, 0.2] + [0.5] * 5 + [0.3, 0.3]])
    truth.loc[0, "rv_lv_ratio_gte_1"] = np.nan  # without PE: the competition counts both RV/LV labels as 0
    weights = COMPETITION_WEIGHTS
    rv_lv = weights["rv_lv_ratio_gte_1"] + weights["rv_lv_ratio_lt_1"]
    parts = [
        (weights["negative_exam_for_pe"], -np.log(0.9)),
        (weights["indeterminate"], -np.log(0.8)),
        (rv_lv, -np.log(0.7)),
    ]
    expected = sum(weight * loss for weight, loss in parts) / sum(weight for weight, _ in parts)
    assert competition_loss(truth, exam).exam == pytest.approx(expected, abs=1e-12)


def test_parts_without_weight_are_undefined():
    empty = _exam(np.zeros((0, 9)))
    image = pd.DataFrame({"StudyInstanceUID": ["a"], "score": [0.5], "label": np.array([0])})
    found = competition_loss(empty, empty, image)
    assert np.isnan([found.total, found.exam, found.image]).all()
    unlabelled = image.assign(label=-1)
    assert np.isnan(competition_loss(empty, empty, unlabelled).image)


@pytest.mark.real
def test_the_constant_predictor_on_the_real_exam_labels():
    """Predicting each label's prevalence costs the weighted sum of their entropies."""
    folder = Path(os.environ.get("PECTL_REAL_DATA", Path(__file__).parents[3] / "shared/data"))
    path = folder / "rspect/exam_labels_7279.csv"
    if not path.is_file():
        pytest.skip(f"no real labels at {path}")
    truth = pd.read_csv(path)[list(EXAM_LABELS)].astype(float)
    constant = pd.DataFrame(np.tile(truth.mean().to_numpy(), (len(truth), 1)), columns=truth.columns)
    p = truth.mean()
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    expected = sum(COMPETITION_WEIGHTS[name] * entropy[name] for name in EXAM_LABELS)
    found = competition_loss(truth, constant).exam
    assert found == pytest.approx(expected, abs=1e-9)
    assert found == pytest.approx(0.3183454, abs=1e-6)
