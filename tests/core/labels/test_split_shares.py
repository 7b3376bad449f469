"""Parts of a split that would be empty: an error with its reason, unless so few studies were to be in them."""

import pandas as pd
import pytest

from pectl.config import SplitConfig
from pectl.core.labels.split_shares import check_filled, check_patients
from pectl.errors import SplitError

CONFIG = SplitConfig()


def groups_of(*sizes):
    return {f"{patient}.{k}": f"{patient}.0" for patient, size in enumerate(sizes) for k in range(size)}


def test_one_patient_cannot_be_split():
    found = (
        "found none for val and test: 14 studies of 1 patients by PatientID, 14 of them of one; correct PatientID or "
        r"empty it, .* or set split.val_fraction and split.test_fraction to 0"
    )
    with pytest.raises(SplitError, match=found):
        check_patients(CONFIG, groups_of(14))


def test_two_patients_are_too_few_for_three_parts():
    with pytest.raises(SplitError, match="found none for test: 14 studies of 2 patients by PatientID, 9 of them"):
        check_patients(CONFIG, groups_of(9, 5))
    check_patients(SplitConfig(test_fraction=0.0), groups_of(9, 5))


@pytest.mark.parametrize("sizes", [(), (1,), (6,), (5, 1), (5, 5, 4)])
def test_few_studies_or_enough_patients_pass(sizes):
    check_patients(CONFIG, groups_of(*sizes))


@pytest.mark.parametrize("options", [{"val_fraction": 0.0, "test_fraction": 0.0}, {"method": "ma2022"}])
def test_who_wants_no_parts_gets_none(options):
    check_patients(SplitConfig(**options), groups_of(14))
    check_filled(SplitConfig(**options), pd.Series(["train"] * 14), pd.Series(["a"] * 14))


def test_an_empty_part_is_named():
    splits = pd.Series(["train"] * 12 + ["val"] * 2)
    with pytest.raises(SplitError, match="found none for test: 14 studies of 2 patients by PatientID, 12 of them"):
        check_filled(CONFIG, splits, pd.Series(["a"] * 12 + ["b"] * 2))
    check_filled(CONFIG, splits.replace({"val": "test"})[:6], pd.Series(["a"] * 6))
    with pytest.raises(SplitError, match="found none for test"):
        check_filled(SplitConfig(method="k-fold", folds=3), splits, pd.Series(["a"] * 14))
