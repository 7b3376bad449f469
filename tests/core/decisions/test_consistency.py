import os
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pectl.core.decisions.consistency import MARGIN, PATTERNS, clipping_heuristic, consistent_pe, project, violations
from pectl.core.labels.names import COMPETITION_WEIGHTS, EXAM_LABELS, IMAGE_WEIGHT

CONSISTENT_PE = dict(zip(EXAM_LABELS, [0.1, 0.1, 0.2, 0.3, 0.4, 0.9, 0.2, 0.8, 0.3], strict=True))
CONSISTENT_NEGATIVE = dict.fromkeys(EXAM_LABELS, 0.1) | {"negative_exam_for_pe": 0.9}


def _exam(*rows):
    uids = pd.Index([f"s{k}" for k in range(len(rows))], name="StudyInstanceUID")
    return pd.DataFrame(rows, index=uids, columns=list(EXAM_LABELS))


def _image(**scores):
    rows = [(study, f"{study}.{k}", p) for study, values in scores.items() for k, p in enumerate(values)]
    return pd.DataFrame(rows, columns=["StudyInstanceUID", "SOPInstanceUID", "score"])


def _allowed(row):
    """The competition's rules, written out."""
    no_pe = row["negative_exam_for_pe"] or row["indeterminate"]
    sides = row["central_pe"] or row["leftsided_pe"] or row["rightsided_pe"]
    both_ages = row["chronic_pe"] and row["acute_and_chronic_pe"]
    if no_pe:
        return not any(row[name] for name in EXAM_LABELS[2:]) and (row["negative_exam_for_pe"] != row["indeterminate"])
    return sides and not both_ages and row["rv_lv_ratio_gte_1"] != row["rv_lv_ratio_lt_1"]


def test_patterns_are_all_that_the_rules_allow():
    rows = [dict(zip(EXAM_LABELS, bits, strict=True)) for bits in product((False, True), repeat=9)]
    expected = {tuple(row.values()) for row in rows if _allowed(row)}
    assert {tuple(pattern.tolist()) for pattern in PATTERNS} == expected
    assert len(PATTERNS) == 44


def test_consistent_predictions_stay_as_they_are_and_cost_nothing():
    exam = _exam(CONSISTENT_PE, CONSISTENT_NEGATIVE)
    image = _image(s0=[0.9, 0.2], s1=[0.3, 0.45])
    result = project(exam, image)
    pd.testing.assert_frame_equal(result.exam, exam)
    pd.testing.assert_frame_equal(result.image, image)
    assert result.cost.tolist() == [0.0, 0.0]
    assert not violations(exam, image).any()


@pytest.mark.parametrize(
    "change",
    [
        {"rv_lv_ratio_lt_1": 0.7},
        {"rv_lv_ratio_gte_1": 0.4},
        {"leftsided_pe": 0.5},
        {"chronic_pe": 0.6, "acute_and_chronic_pe": 0.6},
        {"negative_exam_for_pe": 0.8},
        {"indeterminate": 0.8},
    ],
)
def test_each_rule_is_seen_when_broken(change):
    assert violations(_exam(CONSISTENT_PE | change)).tolist() == [True]


def test_both_or_neither_of_negative_and_indeterminate_break_a_rule():
    assert violations(_exam(CONSISTENT_NEGATIVE | {"indeterminate": 0.6})).all()
    assert violations(_exam(CONSISTENT_NEGATIVE | {"negative_exam_for_pe": 0.4})).all()


def test_images_and_exam_must_agree():
    exam = _exam(CONSISTENT_PE, CONSISTENT_NEGATIVE, CONSISTENT_PE)
    image = _image(s0=[0.5, 0.1], s1=[0.6, 0.1])  # s2 has no images: nothing to contradict
    assert violations(exam, image).tolist() == [True, True, False]


def _kl(p, q):
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


@given(seed=st.integers(0, 10**6), with_images=st.booleans())
@settings(max_examples=60, deadline=None)
def test_projection_is_the_cheapest_over_all_512_label_sets(seed, with_images):
    rng = np.random.default_rng(seed)
    row = rng.uniform(0.02, 0.98, size=9)
    image = _image(s0=rng.uniform(0.02, 0.98, size=4)) if with_images else None
    result = project(_exam(row), image)
    share = image["score"].mean() if with_images else 0.0
    costs = {}
    for bits in product((False, True), repeat=9):
        named = dict(zip(EXAM_LABELS, bits, strict=True))
        if not _allowed(named):
            continue
        clipped = np.where(bits, np.maximum(row, 0.5 + MARGIN), np.minimum(row, 0.5 - MARGIN))
        weights = np.array([COMPETITION_WEIGHTS[name] for name in EXAM_LABELS])
        cost = np.sum(weights * _kl(row, clipped))
        if with_images:
            scores = image["score"].to_numpy()
            after = np.minimum(scores, 0.5 - MARGIN)
            if not (named["negative_exam_for_pe"] or named["indeterminate"]):
                after = scores.copy()
                after[scores.argmax()] = max(scores.max(), 0.5 + MARGIN)
            cost += IMAGE_WEIGHT * share * np.sum(_kl(scores, after))
        costs[bits] = cost
    assert result.cost.iloc[0] == pytest.approx(min(costs.values()), abs=1e-12)
    assert not violations(result.exam, result.image).any()


def _pe(exam):
    return consistent_pe(exam[list(EXAM_LABELS)].to_numpy(), one_ratio=True).tolist()


def _ratio(exam):
    return exam[["rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1"]].to_numpy().tolist()


def test_one_ratio_by_hand():
    """P(PE) of 0.76 and 0.8, RV/LV >= 1 in 0.39 of them and 0.48; both exam labels are cheap to obey."""
    exam = _exam(
        CONSISTENT_PE | {"rv_lv_ratio_gte_1": 0.39, "rv_lv_ratio_lt_1": 0.37},
        CONSISTENT_PE | {"rv_lv_ratio_gte_1": 0.48, "rv_lv_ratio_lt_1": 0.32},
        CONSISTENT_NEGATIVE | {"rv_lv_ratio_gte_1": 0.06, "rv_lv_ratio_lt_1": 0.04},
        CONSISTENT_NEGATIVE | {"rv_lv_ratio_gte_1": 0.48, "rv_lv_ratio_lt_1": 0.32},
    )
    lowered = 0.5 - MARGIN
    moved = [[0.5 + MARGIN, 0.37], [0.5 + MARGIN, 0.32], [0.06, 0.04], [0.6 * lowered, 0.4 * lowered]]
    found = project(exam, one_ratio=True).exam
    np.testing.assert_allclose(_ratio(found), moved, rtol=1e-12)
    np.testing.assert_allclose(_pe(found), [0.87 + MARGIN, 0.82 + MARGIN, 0.1, lowered], rtol=1e-12)
    apart = project(exam).exam  # the lighter label is the cheaper one to raise
    np.testing.assert_allclose(_ratio(apart)[0], [0.39, 0.5 + MARGIN], rtol=1e-12)
    assert _ratio(apart)[3] == [0.48, 0.32]


@given(seed=st.integers(0, 10**6), decided=st.booleans())
@settings(max_examples=60, deadline=None)
def test_one_ratio_sums_to_pe_and_the_likelier_holds(seed, decided):
    rng = np.random.default_rng(seed)
    rows, share, pe = rng.uniform(size=(40, 9)), rng.choice([0.0, 0.5, 1.0, *rng.uniform(size=9)], 40), rng.random(40)
    rows[:, 7], rows[:, 8] = pe * share, pe * (1 - share)
    says = rng.random(40) < 0.5 if decided else None
    result = project(_exam(*rows), pe=says, one_ratio=True)
    assert not violations(result.exam).any()
    large, small = np.transpose(_ratio(result.exam))
    has_pe = (result.exam[["negative_exam_for_pe", "indeterminate"]] <= 0.5).all(axis=1).to_numpy()
    together = np.array(_pe(result.exam))
    np.testing.assert_array_equal(together, large + small)
    assert ((together > 0.5) == has_pe).all()
    assert together.max() <= 1 + 1e-12
    assert (says is None) or (has_pe == says).all()
    assert ((large > 0.5) == (has_pe & (rows[:, 7] >= rows[:, 8]))).all()
    np.testing.assert_allclose((large * rows[:, 8])[~has_pe], (small * rows[:, 7])[~has_pe], atol=1e-12)
    stays = has_pe & (rows[:, 7:].max(axis=1) > 0.5 + MARGIN)
    np.testing.assert_allclose(together[stays], pe[stays], atol=1e-12)
    weights = np.array([COMPETITION_WEIGHTS[name] for name in EXAM_LABELS])
    inside = np.clip(rows, 1e-15, 1 - 1e-15)
    paid = (weights * _kl(inside, np.clip(result.exam.to_numpy(), 1e-15, 1 - 1e-15))).sum(axis=1)
    np.testing.assert_allclose(result.cost, paid, atol=1e-9)


def test_ties_and_certain_predictions_end_consistent():
    exam = _exam([0.5] * 9, [0.0] * 9, [1.0] * 9, [0.0, 0.0] + [1.0] * 7)
    image = _image(s0=[0.5, 0.5], s1=[0.0, 1.0], s2=[1.0, 1.0], s3=[0.5, 0.0])
    result = project(exam, image)
    assert not violations(result.exam, result.image).any()
    assert np.isfinite(result.exam.to_numpy()).all()
    assert np.isfinite(result.cost).all()
    assert (result.exam - 0.5).abs().to_numpy().min() == pytest.approx(MARGIN)
    rounded = result.exam.astype(np.float32)
    assert not violations(rounded, result.image).any()


def test_only_the_top_image_is_raised_and_others_studies_images_stay():
    exam = _exam(CONSISTENT_PE | {"negative_exam_for_pe": 0.01, "indeterminate": 0.01})
    image = _image(s0=[0.2, 0.45, 0.1], other=[0.9])
    result = project(exam, image)
    assert result.image["score"].tolist() == [0.2, 0.5 + MARGIN, 0.1, 0.9]


def test_of_equal_top_images_the_last_is_raised_wherever_its_study_stands():
    exam = _exam(*[CONSISTENT_PE | {"negative_exam_for_pe": 0.01, "indeterminate": 0.01}] * 2)
    image = _image(s1=[0.45, 0.45, 0.3], s0=[0.4, 0.4])
    assert project(exam, image).image["score"].tolist() == [0.45, 0.5 + MARGIN, 0.3, 0.4, 0.5 + MARGIN]


def test_images_can_turn_a_study():
    """Many confident images outweigh nine hesitant exam labels."""
    exam = _exam(CONSISTENT_NEGATIVE | {"negative_exam_for_pe": 0.55})
    result = project(exam, _image(s0=[0.99] * 40))
    assert result.exam.loc["s0", "negative_exam_for_pe"] == 0.5 - MARGIN
    assert (result.image["score"] == 0.99).all()


def test_no_studies_give_no_studies():
    result = project(_exam())
    assert result.exam.empty
    assert violations(result.exam).shape == (0,)


def test_heuristic_follows_the_top_image_and_costs_no_less():
    rng = np.random.default_rng(0)
    exam = _exam(*rng.random((200, 9)))
    image = _image(**{f"s{k}": rng.random(3) for k in range(150)})
    heuristic, exact = clipping_heuristic(exam, image), project(exam, image)
    assert not violations(heuristic.exam, heuristic.image).any()
    assert (heuristic.cost >= exact.cost - 1e-15).all()
    assert (heuristic.cost > exact.cost + 1e-6).any()
    top = image.groupby("StudyInstanceUID")["score"].max().reindex(exam.index)
    says_pe = (heuristic.exam[["negative_exam_for_pe", "indeterminate"]] <= 0.5).all(axis=1)
    assert (says_pe[top.notna()] == (top.dropna() > 0.5)).all()


@pytest.mark.real
def test_real_predictions_of_another_team():
    folder = Path(os.environ.get("PECTL_REAL_DATA", Path(__file__).parents[4] / "shared/data"))
    path = folder / "rspect/peer_predictions_fold0.csv"
    if not path.is_file():
        pytest.skip(f"no real predictions at {path}")
    exam = pd.read_csv(path, index_col="StudyInstanceUID")[list(EXAM_LABELS)]
    broken = violations(exam)
    implies_pe = (exam[["negative_exam_for_pe", "indeterminate"]] <= 0.5).all(axis=1).to_numpy()
    assert broken.sum() == 116
    assert implies_pe.sum() == 296
    assert broken[implies_pe].mean() == pytest.approx(0.39, abs=0.01)
    result = project(exam)
    assert not violations(result.exam).any()
    assert result.cost.mean() < clipping_heuristic(exam).cost.mean() / 3
