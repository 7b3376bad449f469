"""Splits: shares of each stratum, disjoint patients, the paper's split, and tables made elsewhere."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pectl.config import SplitConfig
from pectl.core.dicom.patients import patient_groups
from pectl.core.labels.names import EXAM_LABELS
from pectl.core.labels.splits import (
    SPLITS,
    check_leaks,
    check_method,
    ma2022,
    make_splits,
    refuse_trained_on,
    split_fingerprint,
)
from pectl.core.stores.tables import read_run_splits
from pectl.errors import SplitError, StoreError

ROOT = Path(__file__).parents[3]


def cohort(**counts: int) -> pd.DataFrame:
    """So many studies of each type, each its own patient; some positive ones central, some strained."""
    types = [name for name, count in counts.items() for _ in range(count)]
    uids = pd.Index([f"u{place:04}" for place in range(len(types))], name="StudyInstanceUID")
    studies = pd.DataFrame(0.0, index=uids, columns=list(EXAM_LABELS))
    kind = np.array(types)
    studies["negative_exam_for_pe"] = (kind == "negative").astype(float)
    studies["indeterminate"] = (kind == "indeterminate").astype(float)
    place = np.arange(len(kind))
    studies["leftsided_pe"] = (kind == "positive").astype(float)
    studies["central_pe"] = ((kind == "positive") & (place % 4 == 0)).astype(float)
    studies["rv_lv_ratio_gte_1"] = np.where(kind == "positive", (place // 4) % 2, np.nan)
    studies.loc[kind == "unknown"] = np.nan
    studies["type"] = kind
    studies["patient_group"] = uids
    studies["series_uid"] = "s" + uids
    return studies


def shares(studies: pd.DataFrame, splits: "pd.Series[str]", chosen: "pd.Series[bool]") -> tuple[int, ...]:
    found = splits[studies.index[chosen]]
    return tuple(int((found == name).sum()) for name in SPLITS)


def test_each_split_gets_its_share_of_each_exam_type():
    studies = cohort(positive=60, indeterminate=6, negative=84)
    splits = make_splits(studies, SplitConfig(), seed=3)
    every = pd.Series(True, index=studies.index)
    fractions = np.array([0.7, 0.15, 0.15])
    assert set(shares(studies, splits, every)[1:]) == {22, 23}
    for name, total in {"positive": 60, "indeterminate": 6, "negative": 84}.items():
        found = shares(studies, splits, studies["type"] == name)
        assert np.abs(np.array(found) - fractions * total).max() <= 1.0, name


@pytest.mark.parametrize("label", ["central_pe", "rv_lv_ratio_gte_1"])
def test_positive_studies_are_shared_out_by_place_and_strain(label):
    studies = cohort(positive=400, negative=10)
    splits = make_splits(studies, SplitConfig(val_fraction=0.2, test_fraction=0.2), seed=0)
    chosen = studies[label] == 1
    found = np.array(shares(studies, splits, chosen))
    assert np.abs(found - np.array([0.6, 0.2, 0.2]) * chosen.sum()).max() <= 2.0


def test_studies_without_labels_are_a_stratum():
    studies = cohort(unknown=20, positive=20)
    studies.loc[studies.index[0], "negative_exam_for_pe"] = 0.0  # half known is unknown
    splits = make_splits(studies, SplitConfig(val_fraction=0.2, test_fraction=0.2), seed=0)
    assert shares(studies, splits, studies["type"] == "unknown") == (12, 4, 4)
    assert shares(studies, splits, studies["type"] == "positive") == (12, 4, 4)


def test_positive_studies_whose_place_is_unknown_are_a_stratum():
    studies = cohort(positive=40, negative=60)
    unplaced = (studies["type"] == "positive") & (np.arange(100) % 2 == 0)
    studies.loc[unplaced, ["central_pe", "rv_lv_ratio_gte_1"]] = np.nan
    found = shares(studies, make_splits(studies, SplitConfig(), seed=3), unplaced)
    assert np.abs(np.array(found) - np.array([0.7, 0.15, 0.15]) * 20).max() <= 1.0


def test_the_seed_decides_and_the_order_of_rows_does_not():
    studies = cohort(positive=60, negative=90)
    first = make_splits(studies, SplitConfig(), seed=1)
    shuffled = make_splits(studies.sample(frac=1.0, random_state=5), SplitConfig(), seed=1)
    pd.testing.assert_series_equal(first, shuffled)
    assert first.index.is_monotonic_increasing
    assert not first.equals(make_splits(studies, SplitConfig(), seed=2))


@pytest.mark.parametrize("seed", range(5))
def test_patients_stay_together_and_sizes_are_within_one_patient(seed):
    studies = cohort(positive=60, indeterminate=6, negative=84)
    sizes = np.random.default_rng(seed).integers(1, 8, 150)
    studies["patient_group"] = [f"p{patient:03}" for patient in np.repeat(np.arange(150), sizes)[:150]]
    splits = make_splits(studies.sample(frac=1.0, random_state=seed), SplitConfig(), seed=seed)
    assert (splits.groupby(studies["patient_group"]).nunique() == 1).all()
    largest = studies["patient_group"].value_counts().max()
    found = splits.value_counts().reindex(list(SPLITS)).to_numpy()
    assert np.abs(found - 150 * np.array([0.7, 0.15, 0.15])).max() <= largest


def test_a_fraction_of_zero_is_an_empty_split():
    splits = make_splits(cohort(positive=20), SplitConfig(val_fraction=0.0, test_fraction=0.5), seed=0)
    assert splits.value_counts().to_dict() == {"train": 10, "test": 10}


@pytest.mark.parametrize("folds", [3, 5])
def test_each_study_is_tested_on_in_one_fold_and_validates_in_another(folds):
    studies = cohort(positive=61, indeterminate=7, negative=84)
    runs = [make_splits(studies, SplitConfig(method="k-fold", folds=folds, fold=k), seed=3) for k in range(folds)]
    table = pd.concat(runs, axis=1)
    for name in ("test", "val"):
        assert ((table == name).sum(axis=1) == 1).all()
    assert ((table == "train").sum(axis=1) == folds - 2).all()
    for fold, splits in enumerate(runs):
        assert splits[splits == "val"].index.equals(runs[(fold + 1) % folds].pipe(lambda s: s[s == "test"]).index)
        for kind, total in {"positive": 61, "indeterminate": 7, "negative": 84}.items():
            found = shares(studies, splits, studies["type"] == kind)
            assert np.abs(np.array(found) - np.array([folds - 2, 1, 1]) / folds * total).max() <= 2.0, kind


def test_folds_keep_patients_together_and_follow_the_seed():
    studies = cohort(positive=60, negative=90)
    studies["patient_group"] = np.repeat(studies.index[::3].to_numpy(), 3)
    config = SplitConfig(method="k-fold", folds=4, fold=2)
    splits = make_splits(studies, config, seed=0)
    assert (splits.groupby(studies["patient_group"]).nunique() == 1).all()
    assert splits.value_counts().to_dict() == pytest.approx({"train": 75, "val": 37.5, "test": 37.5}, abs=3)
    pd.testing.assert_series_equal(splits, make_splits(studies.sample(frac=1.0, random_state=1), config, seed=0))
    assert not splits.equals(make_splits(studies, config, seed=1))


def test_more_folds_than_patients():
    config = SplitConfig(method="k-fold", folds=5)
    message = r"split.method k-fold: expected at least as many patients as folds \(5\), found 4; set fewer split.folds"
    with pytest.raises(SplitError, match=message):
        make_splits(cohort(negative=8).assign(patient_group=np.repeat(list("abcd"), 2)), config, seed=0)
    with pytest.raises(SplitError, match=message):
        check_method(config, list("abcd"), released=None)


def test_a_released_split_is_of_every_study_before_any_is_read():
    config = SplitConfig(method="released")
    released = pd.Series({"a": "train", "b": "val", "c": "test", "d": "", "gone": "train"})
    check_method(config, ["c", "a"], released=released)
    with pytest.raises(
        SplitError, match=r"found none for 2 studies, such as d, e; move their files away, or take another method"
    ):
        check_method(config, list("abcde"), released=released)
    with pytest.raises(SplitError, match=r"found a set without one, or no --layout; take another method"):
        check_method(config, ["a"], released=None)


def test_ma2022_counts_and_generator():
    ids = [f"a{place:04}_b" for place in range(2100)]
    splits = ma2022(reversed([*ids, ids[0]]))
    assert splits.value_counts().to_dict() == {"test": 1000, "val": 1000, "train": 100}
    order = np.random.RandomState(100).permutation(2100)
    assert splits[f"a{order[0]:04}"] == splits[f"a{order[999]:04}"] == "test"
    assert splits[f"a{order[1000]:04}"] == splits[f"a{order[1999]:04}"] == "val"
    assert splits[f"a{order[2000]:04}"] == "train"


def test_ma2022_needs_more_than_2000_studies():
    studies = cohort(negative=2000)
    with pytest.raises(SplitError, match="expected more than 2000 studies, found 2000;"):
        make_splits(studies, SplitConfig(method="ma2022"), seed=0)


def test_ma2022_is_refused_where_it_parts_a_patient():
    studies = cohort(negative=2100)
    studies["patient_group"] = np.repeat(studies.index[::2].to_numpy(), 2)
    with pytest.raises(SplitError, match="expected each patient in one split"):
        make_splits(studies, SplitConfig(method="ma2022"), seed=0)


@pytest.mark.real
def test_ma2022_is_the_papers_split_of_rspect():
    folder = Path(os.environ.get("PECTL_REAL_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "rspect" / "exam_labels_7279.csv"
    if not path.exists():
        pytest.skip(f"no {path}; set PECTL_REAL_DATA")
    studies = pd.read_csv(path, index_col="StudyInstanceUID")
    studies = studies.rename(columns={"SeriesInstanceUID": "series_uid"}).assign(patient_group=studies.index)
    splits = make_splits(studies, SplitConfig(method="ma2022"), seed=0)
    assert splits.value_counts().to_dict() == {"train": 5279, "val": 1000, "test": 1000}
    test = studies.loc[splits.index[splits == "test"]]
    names = ["negative_exam_for_pe", "indeterminate", "chronic_pe", "acute_and_chronic_pe", "central_pe"]
    assert test[names].sum().tolist() == [687, 18, 41, 21, 53]


def from_csv(text: str, folder: Path) -> "pd.Series[str]":
    path = folder / "splits.csv"
    path.write_text(text)
    return make_splits(cohort(negative=3), SplitConfig(method="csv", csv=path), seed=0)


def test_a_table_of_splits(tmp_path):
    splits = from_csv("split,StudyInstanceUID\nval,u0002\ntrain,u0000\ntest,u0001\nval,u0009\n", tmp_path)
    assert splits.to_dict() == {"u0000": "train", "u0001": "test", "u0002": "val"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study,split\nu0000,val\n", "expected the columns StudyInstanceUID and split, found study, split;"),
        (
            "StudyInstanceUID,split\nu0000,val\nu0001,dev\nu0001,val\n",
            r"found 1 studies in two splits \(e\.g\. u0001\); 1 studies in no split \(e\.g\. u0002\); "
            r"1 studies of a split other than train, val, test \(e\.g\. u0001\);",
        ),
    ],
)
def test_faults_of_a_table_are_named_together(tmp_path, text, message):
    with pytest.raises(SplitError, match=message):
        from_csv(text, tmp_path)


def test_a_table_that_parts_a_patient_is_refused(tmp_path):
    path = tmp_path / "splits.csv"
    path.write_text("StudyInstanceUID,split\nu0000,train\nu0001,test\n")
    studies = cohort(negative=2).assign(patient_group="u0000")
    with pytest.raises(SplitError, match=r"found 1 patients in more than one \(e\.g\. of study u0000\)"):
        make_splits(studies, SplitConfig(method="csv", csv=path), seed=0)


def test_check_leaks_accepts_disjoint_patients():
    splits = pd.Series(["train", "train", "test"], index=["a", "b", "c"])
    check_leaks(splits, pd.Series(["p", "p", "q"], index=["a", "b", "c"]))


def test_patients_are_named_by_their_first_study():
    groups = patient_groups({"c": "P1", "a": "p1 ", "b": "anonymous", "d": "", "e": "P2"})
    assert groups == {"a": "a", "b": "b", "c": "a", "d": "d", "e": "e"}


def test_the_fingerprint_is_of_the_pairs_and_not_of_their_order():
    splits = pd.Series(["train", "val"], index=["a", "b"])
    assert split_fingerprint(splits) == split_fingerprint(splits[::-1])
    assert split_fingerprint(splits) != split_fingerprint(pd.Series(["val", "train"], index=["a", "b"]))
    assert len(split_fingerprint(splits)) == 64


def test_a_run_remembers_its_splits_and_refuses_what_it_has_seen(tmp_path: Path) -> None:
    (tmp_path / "splits.csv").write_text("StudyInstanceUID,split\n001,train\n1.2,val\n1.3,test\n")
    splits = read_run_splits(tmp_path)
    assert splits.to_dict() == {"001": "train", "1.2": "val", "1.3": "test"}
    refuse_trained_on(splits, ["1.2", "1.3", "new"], where="run", trained=("train",))
    with pytest.raises(SplitError) as error:
        refuse_trained_on(splits, ["001", "1.2", "1.3"], where="run", trained=("train", "val"))
    assert str(error.value) == (
        "run: expected studies that the model hasn't seen, found 2 it was trained on, such as 001, 1.2; "
        "use the splits that the run was trained with"
    )


def test_a_run_with_another_table(tmp_path: Path) -> None:
    (tmp_path / "splits.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StoreError, match=r"splits\.csv: expected the splits that .*, found the columns a, b; train"):
        read_run_splits(tmp_path)
