import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pectl.evaluation.measure import Units
from pectl.evaluation.subgroups import attributes, subgroups

N = 60
UIDS = pd.Index([f"s{k:02d}" for k in range(N)], name="StudyInstanceUID")


@pytest.fixture
def units():
    rng = np.random.default_rng(0)
    label = np.arange(N) % 2 == 0
    score = (rng.random(N) + 0.5 * label) / 1.5
    return Units(label, score, score)


def _rows(units, studies, image=None):
    return subgroups(units, attributes(studies.set_index(UIDS), image), threshold=0.5, confidence=0.95)


def test_a_subgroup_is_measured_on_its_studies(units):
    rows = _rows(units, pd.DataFrame({"kernel": np.where(np.arange(N) < 40, "B30f", "LUNG")}))
    assert [(row["attribute"], row["value"], row["n"]) for row in rows] == [
        ("kernel", "B30f", 40),
        ("kernel", "LUNG", 20),
    ]
    assert rows[0]["auroc"] == pytest.approx(roc_auc_score(units.label[:40], units.score[:40]))
    assert rows[0]["warning"] is None
    assert rows[1]["warning"] is None
    assert rows[1]["n_positive"] == 10


def test_a_small_subgroup_carries_a_warning(units):
    rows = _rows(units, pd.DataFrame({"flow_artifact": (np.arange(N) < 7).astype(float)}))
    assert [row["value"] for row in rows] == ["no", "yes"]
    assert rows[1]["warning"] == "only 3 in the smaller class"
    alone = _rows(units, pd.DataFrame({"kernel": np.where(np.arange(N) == 0, "ODD", "COMMON")}))
    assert (alone[1]["auroc"], alone[1]["warning"]) == (None, "one class only")


def test_properties_of_pe_are_judged_against_all_studies_without(units):
    central = pd.DataFrame({"central_pe": ((np.arange(N) % 4) == 0).astype(float)})
    rows = _rows(units, central)
    assert [(row["value"], row["n"], row["n_positive"]) for row in rows] == [("no", 45, 15), ("yes", 45, 15)]
    chosen = (np.arange(N) % 4 == 0) | ~units.label
    assert rows[1]["auroc"] == pytest.approx(roc_auc_score(units.label[chosen], units.score[chosen]))


def test_positive_slices_are_counted_where_all_are_labelled(units):
    slices = [40 if k % 4 == 0 else 5 for k in range(N)]
    image = pd.DataFrame({"StudyInstanceUID": np.repeat(UIDS, 50), "label": 0})
    image["label"] = np.concatenate([np.arange(50) < (n if k % 2 == 0 else 0) for k, n in enumerate(slices)]).astype(
        int
    )
    image.loc[0, "label"] = -1
    rows = _rows(units, pd.DataFrame(index=range(N)), image)
    assert [(row["value"], row["n_positive"]) for row in rows] == [("up to 10", 15), ("30 to 60", 14)]


def test_positive_slices_may_be_told_where_there_are_no_images(units):
    told = pd.DataFrame({"n_pe_slices": np.where(units.label, np.resize([5.0, 5.0, 70.0, 70.0], N), 0.0)})
    expected = [("up to 10", 15), ("more than 60", 15)]
    assert [(row["value"], row["n_positive"]) for row in _rows(units, told)] == expected
    image = pd.DataFrame({"StudyInstanceUID": [UIDS[0]] * 20, "label": 1})
    expected = [("up to 10", 14), ("10 to 30", 1), ("more than 60", 15)]
    assert [(row["value"], row["n_positive"]) for row in _rows(units, told, image)] == expected


def test_numbers_are_banded_and_sorted_by_size(units):
    steps = pd.DataFrame({"slice_step_mm": np.resize([0.8, 1.25, 5.0], N)})
    assert [row["value"] for row in _rows(units, steps)] == ["up to 1 mm", "1 to 1.5 mm", "more than 3 mm"]
    volumes = pd.DataFrame({"embolus_volume_ml": np.where(units.label, np.resize([0.2, 0.2, 3.0], N), np.nan)})
    rows = _rows(units, volumes)
    assert [row["value"] for row in rows] == ["up to 0.5 ml", "2 to 8 ml"]
    assert sum(row["n_positive"] for row in rows) == 30


def test_rare_kernels_are_joined_and_unknown_ones_left_out(units):
    kernels = [f"K{k % 12}" for k in range(N)]
    kernels[:10] = ["COMMON"] * 10
    kernels[-5:] = [""] * 5
    rows = _rows(units, pd.DataFrame({"kernel": kernels}))
    assert len(rows) == 8
    assert rows[-1]["value"] == "other"
    assert sum(row["n"] for row in rows) == 55


def test_one_value_makes_no_subgroup(units):
    assert _rows(units, pd.DataFrame({"manufacturer": ["GE"] * N, "qa_motion": np.nan})) == []
