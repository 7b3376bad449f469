"""FROC against a case by hand, and against plain loops."""

import numpy as np
import pytest

from pectl.core.statistics.bootstrap import study_weights
from pectl.core.statistics.froc import RATES, Detections, froc_curve, replicate_sensitivity, sensitivity_at


def by_hand() -> Detections:
    """Two scans: false marks at 0.9 and 0.4 in the second; lesions hit at 0.8 and 0.4, one never."""
    return Detections(
        false_mark=np.array([0.4, 0.9]),
        false_scan=np.array([1, 1]),
        lesion=np.array([0.8, -np.inf, 0.4]),
        lesion_scan=np.array([0, 0, 1]),
        patient=np.array([0, 1]),
    )


def test_a_case_by_hand():
    curve = froc_curve(by_hand())
    assert curve.threshold.tolist() == [0.9, 0.8, 0.4]
    assert curve.false_per_scan.tolist() == [0.5, 0.5, 1.0]
    assert curve.sensitivity == pytest.approx([0, 1 / 3, 2 / 3])
    assert sensitivity_at(by_hand()) == pytest.approx([0, 0, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3])


def test_a_patient_drawn_twice_counts_twice():
    """Of the first patient twice: no false mark, one of two lesions hit; of the second twice: one of one at 0.4."""
    weights = np.array([[2, 0, 1], [0, 2, 1]], np.float32)
    found = replicate_sensitivity(by_hand(), weights, [0.125, 1, 2])
    assert found[:, 0] == pytest.approx([0.5, 0.5, 0.5])
    assert found[:, 1] == pytest.approx([0, 0, 1])
    assert found[:, 2] == pytest.approx(sensitivity_at(by_hand(), [0.125, 1, 2]))


def loops(false, lesions, counts, patient, rates):
    """Sensitivity at rates by trying every threshold: no array, no cumulative sum."""
    n_scans = sum(counts[patient[scan]] for scan in range(len(patient)))
    n_lesions = sum(counts[patient[scan]] for _, scan in lesions)
    result = []
    for rate in rates:
        best = 0
        for threshold in {value for value, _ in false} | {value for value, _ in lesions if value > -np.inf}:
            alarms = sum(counts[patient[scan]] for value, scan in false if value >= threshold)
            hits = sum(counts[patient[scan]] for value, scan in lesions if value >= threshold)
            if alarms <= rate * n_scans:
                best = max(best, hits)
        result.append(best / n_lesions if n_lesions else np.nan)
    return result


@pytest.mark.parametrize("seed", range(4))
def test_against_plain_loops_with_ties_and_several_scans_of_a_patient(seed):
    rng = np.random.default_rng(seed)
    patient = np.array([0, 0, 1, 2, 3, 3, 3, 4])
    n_false, n_lesions = int(rng.integers(0, 40)), int(rng.integers(1, 12))
    false = [(float(rng.integers(0, 10)) / 10, int(rng.integers(8))) for _ in range(n_false)]
    lesions = [
        (float(rng.integers(0, 10)) / 10 if rng.random() < 0.8 else -np.inf, int(rng.integers(8)))
        for _ in range(n_lesions)
    ]
    found = Detections(
        false_mark=np.array([value for value, _ in false], float),
        false_scan=np.array([scan for _, scan in false], int),
        lesion=np.array([value for value, _ in lesions]),
        lesion_scan=np.array([scan for _, scan in lesions]),
        patient=patient,
    )
    assert sensitivity_at(found) == pytest.approx(loops(false, lesions, [1] * 5, patient, RATES))
    weights = study_weights(5, replicates=150, seed=seed)
    replicates = replicate_sensitivity(found, weights)
    for column in range(150):
        expected = loops(false, lesions, weights[:, column].tolist(), patient, RATES)
        assert replicates[:, column] == pytest.approx(expected, nan_ok=True)


def test_no_mark_finds_nothing_and_no_lesion_has_no_sensitivity():
    none = np.zeros(0)
    nothing = Detections(
        false_mark=none, false_scan=none.astype(int), lesion=np.array([-np.inf]), lesion_scan=np.array([0]),
        patient=np.array([0]),
    )  # fmt: skip
    assert sensitivity_at(nothing).tolist() == [0.0] * 7
    assert froc_curve(nothing).threshold.size == 0
    assert np.isnan(sensitivity_at(nothing.of_lesions(np.array([False])))).all()
