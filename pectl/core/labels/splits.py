"""Which studies train, validate and test: disjoint by patient, the same for the same seed."""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from pectl.config import SplitConfig
from pectl.core.labels.names import CENTRAL, INDETERMINATE, NEGATIVE, RELEASED_SPLIT, RV_LV_GTE_1, STUDY
from pectl.core.storage.csv_table import read_csv
from pectl.core.storage.stamp import digest_of
from pectl.errors import SplitError

SPLITS = ("train", "val", "test")

_MA2022_SEED, _MA2022_HELD_OUT = 100, 1000
"""Ma et al. 2022 (and the winner of the competition before them): seed 100, 1000 test, 1000 validation."""


def make_splits(studies: pd.DataFrame, config: SplitConfig, *, seed: int) -> "pd.Series[str]":
    """Split studies by the method of the configuration.

    Args:
        studies: by StudyInstanceUID, with the columns patient_group, series_uid and the exam labels (NaN
            unknown).
        config: method and fractions or folds.
        seed: of the methods `stratified` and `k-fold`.

    Returns:
        train, val or test by StudyInstanceUID, sorted.

    Raises:
        SplitError: the method can't split these studies, or its split leaks a patient.
        InputMissingError: the table of method `csv` isn't there.
    """
    if config.method == "csv" and config.csv is not None:
        splits = _from_csv(config.csv, studies.index)
    elif config.method == "ma2022":
        splits = ma2022([f"{uid}_{series}" for uid, series in studies["series_uid"].items()])
    elif config.method == "k-fold":
        splits = _k_fold(studies, config, seed)
    elif config.method == "released":
        splits = _released(studies[RELEASED_SPLIT])
    else:
        splits = _stratified(studies, config, seed)
    splits = splits.sort_index().rename("split")
    check_leaks(splits, studies["patient_group"])
    return splits


def check_method(config: SplitConfig, uids: Collection[str], *, released: "pd.Series[str] | None") -> None:
    """Check before hours of work that the method can split these studies at all.

    Args:
        config: the method.
        uids: of the studies to split.
        released: the split of the studies' set by study; None where it has none.

    Raises:
        SplitError: too few studies for `ma2022` or `k-fold`, a table without the columns, or no released split, or
            not of every study.
        InputMissingError: the table of method `csv` isn't there.
    """
    if config.method == "ma2022":
        _check_ma2022_size(len(uids))
    elif config.method == "k-fold":
        _check_k_fold_size(len(uids), config.folds)
    elif config.csv is not None:
        _read_table(config.csv)
    elif config.method == "released":
        if released is None:
            raise _none_released("a set without one, or no --layout", "take another method")
        _released(released.reindex(list(uids)))


def _released(splits: "pd.Series[str]") -> "pd.Series[str]":
    """Return the split that the set itself has, after a check that every study is in it."""
    if missing := sorted(splits.index[~splits.isin(SPLITS)]):
        found = f"none for {len(missing)} studies, such as {', '.join(missing[:3])}"
        raise _none_released(found, "move their files away, or take another method")
    return splits


def _none_released(found: str, fix: str) -> SplitError:
    return SplitError(
        where="split.method released",
        expected="a set that releases a split, for every study",
        found=found,
        fix=fix,
    )


def _check_ma2022_size(n_studies: int) -> None:
    if n_studies <= 2 * _MA2022_HELD_OUT:
        raise SplitError(
            where="split.method ma2022",
            expected=f"more than {2 * _MA2022_HELD_OUT} studies",
            found=f"{n_studies}",
            fix="use split.method = 'stratified' for smaller cohorts",
        )


def ma2022(study_series: Iterable[str]) -> "pd.Series[str]":
    """Return the paper's split of `<StudyInstanceUID>_<SeriesInstanceUID>` ids, by StudyInstanceUID.

    Raises:
        SplitError: not more than 2000 studies.
    """
    ids = np.array(sorted(set(study_series)))
    _check_ma2022_size(len(ids))
    np.random.RandomState(_MA2022_SEED).shuffle(ids)
    names = np.full(len(ids), "train", object)
    names[:_MA2022_HELD_OUT] = "test"
    names[_MA2022_HELD_OUT : 2 * _MA2022_HELD_OUT] = "val"
    uids = [str(study_series).split("_")[0] for study_series in ids]
    return pd.Series(names, index=pd.Index(uids, name=STUDY), dtype=str)


def is_ma2022_test(series_uid: "pd.Series[str]", uids: Iterable[str]) -> bool:
    """Tell whether studies are those that the paper's method holds out of a cohort.

    Args:
        series_uid: SeriesInstanceUID of the whole cohort, by StudyInstanceUID.
        uids: the studies in question.
    """
    if len(series_uid) <= 2 * _MA2022_HELD_OUT or series_uid.isna().any():
        return False
    splits = ma2022([f"{uid}_{series}" for uid, series in series_uid.items()])
    return set(uids) == set(splits.index[splits == "test"])


def split_fingerprint(splits: "pd.Series[str]") -> str:
    """Return the digest of the sorted (study, split) pairs."""
    return digest_of("split", sorted((str(uid), str(split)) for uid, split in splits.items()))


def check_leaks(splits: "pd.Series[str]", groups: "pd.Series[str]") -> None:
    """Check that no patient is in two splits.

    Raises:
        SplitError: one is; the message names studies.
    """
    n_splits = splits.groupby(groups.reindex(splits.index)).nunique()
    leaking = sorted(n_splits.index[n_splits > 1])
    if leaking:
        raise SplitError(
            where="split",
            expected="each patient in one split",
            found=f"{len(leaking)} patients in more than one (e.g. of study {leaking[0]})",
            fix="put all studies of a patient into one split",
        )


def _check_k_fold_size(n_patients: int, folds: int) -> None:
    if n_patients < folds:
        raise SplitError(
            where="split.method k-fold",
            expected=f"at least as many patients as folds ({folds})",
            found=f"{n_patients}",
            fix="set fewer split.folds",
        )


def _stratified(studies: pd.DataFrame, config: SplitConfig, seed: int) -> "pd.Series[str]":
    shares = {"test": config.test_fraction, "val": config.val_fraction}
    shares["train"] = 1.0 - sum(shares.values())
    return _shared_out(studies, shares, seed)


def _k_fold(studies: pd.DataFrame, config: SplitConfig, seed: int) -> "pd.Series[str]":
    """Share the studies out to the folds, the same ones whichever of them tests."""
    _check_k_fold_size(studies["patient_group"].nunique(), config.folds)
    folds = [str(fold) for fold in range(config.folds)]
    role = dict.fromkeys(folds, "train")
    role |= {folds[(config.fold + 1) % config.folds]: "val", folds[config.fold]: "test"}
    return _shared_out(studies, dict.fromkeys(folds, 1.0 / config.folds), seed).map(role)


def _shared_out(studies: pd.DataFrame, shares: dict[str, float], seed: int) -> "pd.Series[str]":
    """Deal the patients of each stratum in random order, so that every part gets its share of each.

    The strata are dealt one after the other as one row of patients; the parts are spread evenly over the row's
    studies, so that also small strata are shared out as far as their numbers allow.
    """
    group = studies["patient_group"]
    group_stratum = _strata(studies).groupby(group).max()
    rng = np.random.default_rng(seed)
    row: list[str] = []
    for stratum in sorted(group_stratum.unique()):
        members = sorted(group_stratum.index[group_stratum == stratum])
        row += [members[i] for i in rng.permutation(len(members))]
    dealt = dict(zip(row, _deal(group.value_counts()[row].tolist(), shares), strict=True))
    return group.map(dealt).astype(str)


def _strata(studies: pd.DataFrame) -> "pd.Series[str]":
    """Name each study's stratum: its exam type, and for PE whether it is central and its RV/LV label."""
    negative, indeterminate = (studies[name] for name in (NEGATIVE, INDETERMINATE))
    central, strained = (studies[name].astype(str).fillna("unknown") for name in (CENTRAL, RV_LV_GTE_1))
    names = "3 positive central " + central + " strained " + strained
    names[indeterminate == 1] = "2 indeterminate"
    names[negative == 1] = "1 negative"
    names[negative.isna() | indeterminate.isna()] = "0 unknown"
    return names


def _deal(sizes: list[int], shares: dict[str, float]) -> list[str]:
    """Deal patients of so many studies in turn, each to the part furthest behind its share; parts by patient."""
    dealt = dict.fromkeys(shares, 0)
    row = []
    for studies, size in zip(np.cumsum(sizes).tolist(), sizes, strict=True):
        behind = {name: share * studies - dealt[name] for name, share in shares.items()}
        name = max(behind, key=lambda key: behind[key])
        dealt[name] += size
        row.append(name)
    return row


def _from_csv(path: Path, uids: "pd.Index[str]") -> "pd.Series[str]":
    splits = _read_table(path).drop_duplicates().set_index(STUDY)["split"]
    _check_csv(path, splits, uids)
    return splits.loc[list(uids)]


def _read_table(path: Path) -> pd.DataFrame:
    table = read_csv(path, what="a table with StudyInstanceUID and split", error=SplitError, dtype=str)
    if not {STUDY, "split"} <= set(table.columns):
        raise SplitError(
            where=path,
            expected="the columns StudyInstanceUID and split",
            found=", ".join(table.columns),
            fix="correct the header",
        )
    return table


def _check_csv(path: Path, splits: "pd.Series[str]", uids: "pd.Index[str]") -> None:
    faults = {
        "in two splits": sorted(splits.index[splits.index.duplicated()]),
        "in no split": sorted(set(uids) - set(splits.index)),
        f"of a split other than {', '.join(SPLITS)}": sorted(splits.index[~splits.isin(SPLITS)]),
    }
    found = [f"{len(studies)} studies {fault} (e.g. {studies[0]})" for fault, studies in faults.items() if studies]
    if found:
        raise SplitError(
            where=path,
            expected="one of train, val and test for each study",
            found="; ".join(found),
            fix="correct the table",
        )


def refuse_trained_on(
    run_splits: "pd.Series[str]", uids: Iterable[str], *, where: object, trained: tuple[str, ...]
) -> None:
    """Refuse to measure a model on studies it has seen.

    Args:
        run_splits: of the run that trained the model.
        uids: the studies to be measured.
        where: the run, for the error.
        trained: the splits of the run that count as seen.

    Raises:
        SplitError: some of `uids` lie in the run's splits `trained`.
    """
    seen = set(run_splits.index[run_splits.isin(trained)])
    leaked = [uid for uid in uids if uid in seen]
    if leaked:
        raise SplitError(
            where=where,
            expected="studies that the model hasn't seen",
            found=f"{len(leaked)} it was trained on, such as {', '.join(leaked[:3])}",
            fix="use the splits that the run was trained with",
        )
