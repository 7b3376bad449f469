"""From a DICOM folder to a finished store: resuming, shards, workers, refusals, lineage, privacy."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from pectl.config import Config, PreprocessConfig, SplitConfig, load_config
from pectl.core.intake import store_study as module
from pectl.core.intake.store_index import begin_store
from pectl.core.intake.tasks import IntakeWatch, Sources
from pectl.core.labels.names import STUDY_LABELS
from pectl.core.places.digest import NO_PLACES
from pectl.core.stores.study_store import StudyStore
from pectl.errors import InputMissingError, LabelsError, LineageError, SplitError, StoreError, WeightsError
from pectl.steps.preprocess import preprocess as run

CONFIG = Config(preprocess=PreprocessConfig(in_plane_px=32, slice_spacing_mm=6.0))
STUDIES = ("1.1", "1.2", "1.3", "1.4")
POSITIVE = {"rv_lv_ratio_lt_1": 1, "leftsided_pe": 1}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, write_series):
    """Four chests and a study without lungs, with a labels table; returns (root, table)."""
    tmp_path = tmp_path_factory.mktemp("cohort")
    rows = []
    for study in STUDIES:
        uids = write_series(
            tmp_path / "dicom" / study, study=study, n_slices=36, size=(64, 64), pixel_spacing_mm=(6, 6)
        )
        labels = dict.fromkeys(STUDY_LABELS, 0)
        labels |= POSITIVE if study == "1.2" else {"negative_exam_for_pe": 1}
        for place, uid in enumerate(uids):
            present = int(study == "1.2" and place == 20)
            rows.append({"StudyInstanceUID": study, "SOPInstanceUID": uid, "pe_present_on_image": present} | labels)
    pd.DataFrame(rows).sample(frac=1, random_state=0).to_csv(tmp_path / "train.csv", index=False)
    write_series(
        tmp_path / "dicom" / "knee",
        study="1.9",
        n_slices=20,
        size=(32, 32),
        hu=lambda points: no_lungs(points),
    )
    return tmp_path / "dicom", tmp_path / "train.csv"


def preprocess(root, out, config, *, progress=None, **options):
    watch = IntakeWatch(studies=progress) if progress else None
    return run(Sources((root,), **options), out, config, watch=watch)


def no_lungs(points):
    return np.where((points[..., :2] ** 2).sum(axis=-1) < 40**2, 40.0, -1000.0)


def files_of(store: Path) -> dict[str, bytes]:
    """Return the content of a store's files; the index of the DICOM files isn't part of it."""
    paths = [path for path in sorted(store.rglob("*")) if path.is_file() and "dicom_index" not in path.parts]
    return {str(path.relative_to(store)): path.read_bytes() for path in paths}


def test_a_cohort_becomes_a_store(cohort, tmp_path):
    seen = []
    summary = preprocess(
        cohort[0],
        tmp_path / "store",
        CONFIG,
        labels=cohort[1],
        progress=lambda *numbers: seen.append(numbers),
    )
    assert (summary.n_done, summary.n_refused, summary.n_skipped, summary.complete) == (4, 1, 0, True)
    assert summary.refused[0].study == "1.9"
    assert summary.refused[0].outcome.code == "not_chest"
    assert summary.unlabelled == ("1.9",)
    assert summary.faults == ()
    assert seen == [(number, 5) for number in range(6)]

    store = StudyStore.open(tmp_path / "store")
    assert store.uids() == list(STUDIES)
    assert set(store.studies.loc["1.2", "flags"].split(",")) == {"thick_slices", "patient_in_several_studies"}
    assert store.studies["patient_group"].tolist() == ["1.1"] * 4
    assert store.studies.loc["1.2", "leftsided_pe"] == 1
    assert np.isnan(store.studies.loc["1.1", "rv_lv_ratio_lt_1"])
    study = store.read_study("1.2")
    assert study.source.label.tolist() == [int(place == 20) for place in range(36)]
    assert study.hu.shape[1:] == (32, 32)
    assert study.exam_labels["rv_lv_ratio_lt_1"] == 1
    assert store.read_study("1.1").exam_labels["rv_lv_ratio_lt_1"] is None


def test_the_index_files(cohort, tmp_path):
    preprocess(cohort[0], tmp_path / "store", CONFIG, labels=cohort[1])
    names = {path.name for path in (tmp_path / "store").iterdir()}
    assert names == {
        "config.toml",
        "dicom_index",
        "refused.csv",
        "slice_labels.h5",
        "splits.csv",
        "store.json",
        "studies",
        "studies.csv",
        "verdicts",
        "verdicts.csv",
        "verdicts.json",
    }
    refused = pd.read_csv(tmp_path / "store" / "refused.csv", dtype=str)
    assert list(refused.columns) == ["study", "code", "reason"]
    assert refused["code"].tolist() == ["not_chest"]
    assert "300 ml of aerated lung" in refused["reason"][0]
    verdicts = pd.read_csv(tmp_path / "store" / "verdicts.csv", dtype=str)
    assert list(verdicts.columns) == ["study", "series", "code", "level", "detail"]
    first = verdicts.drop_duplicates("study").set_index("study")
    assert first["code"].to_dict() == dict.fromkeys(STUDIES, "accepted") | {"1.9": "not_chest"}
    assert first.loc["1.9", "detail"] == refused["reason"][0]
    stamp = json.loads((tmp_path / "store" / "store.json").read_text())
    assert stamp["use"] == "research use only, not for diagnosis"
    assert len(stamp["made_from"]["labels"]) == 64


def test_without_labels_all_are_unknown(cohort, tmp_path):
    summary = preprocess(cohort[0], tmp_path / "store", CONFIG)
    store = StudyStore.open(tmp_path / "store")
    assert summary.unlabelled == ()
    assert store.studies[list(STUDY_LABELS)].isna().all(axis=None)
    assert (store.read_study("1.2").slice_label == -1).all()
    assert store.stamp.made_from == {"labels": "none"}


def test_a_rerun_does_only_what_is_missing_and_ends_in_the_same_bytes(cohort, tmp_path, monkeypatch):
    store = tmp_path / "store"
    preprocess(cohort[0], store, CONFIG, labels=cohort[1])
    first = files_of(store)
    for name in ("studies/1.3.h5", "store.json", "studies.csv"):
        (store / name).unlink()
    summary = preprocess(cohort[0], store, CONFIG, labels=cohort[1])
    assert (summary.n_done, summary.n_refused, summary.n_skipped) == (1, 0, 4)
    assert files_of(store) == first
    monkeypatch.setattr(module, "examine_task", None)  # nothing is made again
    summary = preprocess(cohort[0], store, CONFIG, labels=cohort[1])
    assert (summary.n_done, summary.n_skipped, summary.complete) == (0, 5, True)


def test_a_store_stopped_as_it_begins_keeps_its_configuration(cohort, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    for name in ("write_config", "write_stamp"):
        with monkeypatch.context() as patch:
            patch.setattr(f"pectl.core.intake.store_index.{name}", kill)
            with pytest.raises(Killed):
                begin_store(tmp_path, Config(), labels="a", places=NO_PLACES)
    begin_store(tmp_path, Config(), labels="a", places=NO_PLACES)
    assert load_config(tmp_path / "config.toml", []) == Config()


def test_going_on_in_an_older_store_leaves_a_training_its_refusal(cohort, tmp_path):
    store = tmp_path / "store"
    preprocess(cohort[0], store, CONFIG, labels=cohort[1])
    assert StudyStore.open(store).studies["vessel_hu"].notna().all()
    for uid in ("1.1", "1.2"):  # of before vessels were measured
        with h5py.File(store / "studies" / f"{uid}.h5", "r+") as file:
            del file.attrs["vessel_hu"]
    (store / "studies" / "1.3.h5").unlink()
    assert preprocess(cohort[0], store, CONFIG, labels=cohort[1]).n_done == 1
    assert "vessel_hu" not in StudyStore.open(store).studies


def test_a_killed_run_goes_on(cohort, tmp_path, monkeypatch):
    store = tmp_path / "store"
    make_study = module.make_study

    def killed(usable, verdict, *args):
        if verdict.study == "1.3":
            raise KeyboardInterrupt
        return make_study(usable, verdict, *args)

    monkeypatch.setattr(module, "make_study", killed)
    with pytest.raises(KeyboardInterrupt):
        preprocess(cohort[0], store, CONFIG, labels=cohort[1])
    with pytest.raises(StoreError, match=r"store\.json"):
        StudyStore.open(store)
    assert not list(store.rglob("*.tmp"))
    monkeypatch.setattr(module, "make_study", make_study)
    assert preprocess(cohort[0], store, CONFIG, labels=cohort[1]).n_skipped == 2
    preprocess(cohort[0], tmp_path / "clean", CONFIG, labels=cohort[1])
    assert files_of(store) == files_of(tmp_path / "clean")


def test_shards_and_workers_give_the_same_store(cohort, tmp_path):
    preprocess(cohort[0], tmp_path / "one", CONFIG, labels=cohort[1])
    summaries = [
        preprocess(cohort[0], tmp_path / "shards", CONFIG, labels=cohort[1], shard=(index, 3)) for index in (2, 0, 1)
    ]
    assert sum(summary.n_done for summary in summaries) == 4
    assert [summary.complete for summary in summaries] == [False, False, True]
    preprocess(cohort[0], tmp_path / "workers", CONFIG, labels=cohort[1], workers=2)
    assert files_of(tmp_path / "shards") == files_of(tmp_path / "one")
    assert files_of(tmp_path / "workers") == files_of(tmp_path / "one")


def test_a_fault_in_one_study_is_a_refusal_and_the_others_are_done(cohort, tmp_path):
    root = shutil.copytree(cohort[0], tmp_path / "copy")
    path = next((root / "1.3").iterdir())
    path.write_bytes(path.read_bytes()[:-1000])
    summary = preprocess(root, tmp_path / "store", CONFIG)
    assert [(verdict.study, verdict.outcome.code) for verdict in summary.refused] == [
        ("1.3", "truncated_pixel_data"),
        ("1.9", "not_chest"),
    ]
    assert StudyStore.open(tmp_path / "store").uids() == ["1.1", "1.2", "1.4"]


def test_a_cohort_that_is_refused_as_a_whole(cohort, tmp_path):
    summary = preprocess(cohort[0] / "knee", tmp_path / "store", CONFIG)
    assert [verdict.study for verdict in summary.refused] == ["1.9"]
    store = StudyStore.open(tmp_path / "store")
    assert store.uids() == []
    assert store.exam_targets([]).shape == (0, 9)


def test_other_preprocessing_is_refused_with_both_digests(cohort, tmp_path):
    preprocess(cohort[0], tmp_path / "store", CONFIG)
    before = files_of(tmp_path / "store")
    other = Config(preprocess=PreprocessConfig(in_plane_px=64, slice_spacing_mm=6.0))
    with pytest.raises(LineageError, match=r"expected preprocessing with digest [0-9a-f]{64}, found [0-9a-f]{64}"):
        preprocess(cohort[0], tmp_path / "store", other)
    assert files_of(tmp_path / "store") == before


def test_other_labels_are_refused_with_both_digests(cohort, tmp_path):
    preprocess(cohort[0], tmp_path / "store", CONFIG)
    with pytest.raises(LineageError, match=r"expected labels with digest [0-9a-f]{64}, found none"):
        preprocess(cohort[0], tmp_path / "store", CONFIG, labels=cohort[1])


def test_faults_of_the_input_leave_nothing_behind(cohort, tmp_path):
    store = tmp_path / "store"
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.csv").write_text("StudyInstanceUID\n1\n")
    few = Config(preprocess=CONFIG.preprocess, split=SplitConfig(method="ma2022"))
    no_table = Config(split=SplitConfig(method="csv", csv=tmp_path / "none.csv"))
    lungmask = Config(preprocess=PreprocessConfig(lungs="lungmask"))
    cases = [
        (tmp_path / "none", CONFIG, {}, InputMissingError, "no such file or folder"),
        (tmp_path / "empty", CONFIG, {}, InputMissingError, "none among 0 files"),
        (cohort[0], CONFIG, {"labels": tmp_path / "none.csv"}, InputMissingError, "no such file"),
        (cohort[0], CONFIG, {"labels": tmp_path / "bad.csv"}, LabelsError, "found no SOPInstanceUID"),
        (cohort[0], lungmask, {}, WeightsError, "preprocess.lungs"),
    ]
    for root, config, options, kind, message in cases:
        with pytest.raises(kind, match=message):
            preprocess(root, store, config, **options)
        assert not store.exists()
    for config, kind, message in (
        (few, SplitError, "more than 2000 studies, found 5"),
        (no_table, InputMissingError, "a table with StudyInstanceUID and split"),
    ):
        with pytest.raises(kind, match=message):
            preprocess(cohort[0], store, config)
        assert [path.name for path in store.iterdir()] == ["dicom_index"]  # for the next try


def test_a_fault_in_a_worker_comes_back_whole(cohort, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "studies").write_text("a file where a folder has to be")
    with pytest.raises(StoreError, match=r"\.h5: expected to write the file, found File exists; free space or choose"):
        preprocess(cohort[0], tmp_path / "store", CONFIG, workers=2)


def test_a_store_that_cannot_be_written_is_named(cohort, tmp_path, monkeypatch):
    def full(*args, **options):
        raise StoreError(where="disk", expected="to write", found="No space left on device", fix="free space")

    monkeypatch.setattr(module, "write_study", full)
    with pytest.raises(StoreError, match="No space left on device"):
        preprocess(cohort[0], tmp_path / "store", CONFIG)
    assert not list((tmp_path / "store").rglob("*.tmp"))


def test_no_text_of_the_patient_reaches_the_store(tmp_path, write_series):
    marks = {
        "PatientName": "MARK^NAME",
        "PatientID": "MARKID",
        "InstitutionName": "MARKHOUSE",
        "StudyDescription": "MARKSTUDY",
        "AccessionNumber": "MARKACC",
        "PatientComments": "MARKCOMMENT",
        "StationName": "MARKSTATION",
        "SeriesDescription": "MARKSERIES",
        "OperatorsName": "MARK^OP",
        "StudyDate": "20310203",
    }

    def edit(dataset, place):
        for keyword, value in marks.items():
            setattr(dataset, keyword, value)
        dataset.private_block(0x0011, "MARKPRIVATE", create=True).add_new(1, "LO", "MARKVALUE")

    write_series(tmp_path / "MARKFOLDER" / "good", edit=edit)
    write_series(tmp_path / "MARKFOLDER" / "short", study="1.9", n_slices=5, edit=edit)
    summary = preprocess(tmp_path / "MARKFOLDER", tmp_path / "store", CONFIG)
    assert (summary.n_done, summary.n_refused) == (1, 1)
    content = b"".join(files_of(tmp_path / "store").values())
    for mark in (b"MARK", b"20310203"):
        assert mark not in content
