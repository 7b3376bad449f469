"""Does each part of a split hold studies? A part without any fails only much later, in training or evaluation."""

import pandas as pd

from pectl.config import SplitConfig
from pectl.errors import SplitError


def check_patients(config: SplitConfig, groups: dict[str, str]) -> None:
    """Check before hours of work that there are patients for every part of the split.

    Args:
        config: method and fractions or folds.
        groups: of each study its patient.

    Raises:
        SplitError: fewer patients than parts that should hold a study or more.
    """
    wanted = _wanted(config, len(groups))
    patients = pd.Series(groups, dtype=str)
    if patients.nunique() < len(wanted):
        raise _empty(wanted[max(1, patients.nunique()) :], patients)


def check_filled(config: SplitConfig, splits: "pd.Series[str]", groups: "pd.Series[str]") -> None:
    """Check that each part which should hold a study or more does so.

    Args:
        config: method and fractions or folds; a table of the user's is taken as it is.
        splits: train, val or test by study.
        groups: patients by study.

    Raises:
        SplitError: one is empty; the message tells how many patients there are.
    """
    if empty := [name for name in _wanted(config, len(splits)) if not (splits == name).any()]:
        raise _empty(empty, groups)


def _wanted(config: SplitConfig, n_studies: int) -> list[str]:
    """Return the parts whose share of the studies is one or more, the largest first."""
    if config.method not in ("stratified", "k-fold"):
        return []
    shares = {"test": config.test_share, "val": config.test_share if config.method == "k-fold" else config.val_fraction}
    shares["train"] = 1.0 - sum(shares.values())
    return [name for name in reversed(shares) if shares[name] * n_studies >= 1]


def _empty(names: list[str], groups: "pd.Series[str]") -> SplitError:
    n_patients, largest = groups.nunique(), groups.value_counts().max()
    return SplitError(
        where="split",
        expected="studies in train, val and test, each patient in one of them",
        found=f"none for {' and '.join(names)}: {len(groups)} studies of {n_patients} patients by PatientID, "
        f"{largest} of them of one",
        fix="correct PatientID or empty it, add patients, "
        "or set split.val_fraction and split.test_fraction to 0 for a store that is not split",
    )
