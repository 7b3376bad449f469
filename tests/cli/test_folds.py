"""All folds of a cohort, as docs/how-to/folds.md says: one store, linked for each fold."""

import os
import shutil

import pandas as pd


def test_a_store_is_split_anew_for_each_fold_and_no_study_is_done_again(chain, pectl, tmp_path) -> None:
    before = (chain.store / "splits.csv").read_bytes()
    tested = []
    for fold in range(3):
        store = tmp_path / f"fold{fold}"
        shutil.copytree(chain.store, store, copy_function=os.link)
        chosen = ("--set", "split.method=k-fold", "--set", "split.folds=3", "--set", f"split.fold={fold}")
        shared = ("--labels", chain.labels, "--config", chain.config, *chosen, "--quiet")
        assert pectl("preprocess", chain.dicom, "--out", store, *shared).code == 0
        for path in (store / "studies").iterdir():
            assert path.samefile(chain.store / "studies" / path.name)
        splits = pd.read_csv(store / "splits.csv", dtype=str).set_index("StudyInstanceUID")["split"]
        tested += splits.index[splits == "test"].tolist()
    assert sorted(tested) == sorted(path.stem for path in (chain.store / "studies").iterdir())
    assert (chain.store / "splits.csv").read_bytes() == before


def test_a_fold_that_there_is_not(chain, pectl, tmp_path) -> None:
    result = pectl("preprocess", chain.dicom, "--out", tmp_path / "s", "--set", "split.fold=9", "--quiet")
    assert result.code == 1
    assert "split: fold 9 must be one of 0 to 4" in result.err
