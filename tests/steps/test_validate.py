"""Verdicts on a folder of studies: the same as preprocess gives, kept, reused, shared out, by labels too."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from pectl.config import Config, PreprocessConfig
from pectl.core.intake import judge_study as study_intake
from pectl.core.intake.choice.named_series import NamedSeries
from pectl.core.intake.index import index_files
from pectl.core.intake.tasks import Sources
from pectl.core.labels.names import STUDY_LABELS
from pectl.core.volumes.stated import Given
from pectl.errors import LabelsError
from pectl.steps.preprocess import preprocess
from pectl.steps.validate import validate

CONFIG = Config(preprocess=PreprocessConfig(in_plane_px=32, slice_spacing_mm=6.0))
SMALL = {"n_slices": 36, "size": (64, 64), "pixel_spacing_mm": (6, 6)}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory, write_series):
    """A good study with a second series, one with a hole, one that is no chest, an MR, and a folder of rubbish."""
    root = tmp_path_factory.mktemp("cohort") / "dicom"

    def patient(dataset, place):
        dataset.PatientID = dataset.StudyInstanceUID

    def hole(dataset, place):
        dataset.PatientID = "P1.2"
        return place != 20

    def magnetic(dataset, place):
        dataset.Modality, dataset.PatientID = "MR", "P1.2"

    write_series(root / "1.1" / "a", study="1.1", edit=patient, **SMALL)
    write_series(root / "1.1" / "b", study="1.1", series="2", edit=patient, **(SMALL | {"n_slices": 30}))
    write_series(root / "1.2", study="1.2", edit=hole, **SMALL)
    write_series(root / "1.3", study="1.3", hu=lambda points: np.where(points[..., 0] > 0, 40.0, -1000.0), **SMALL)
    write_series(root / "1.4", study="1.4", edit=magnetic, **SMALL)
    (root / "lost").mkdir()
    (root / "lost" / "a.dcm").write_text("what remains of an export\n")
    return root


def rows_of(folder):
    table = pd.read_csv(folder / "verdicts.csv", dtype=str, keep_default_na=False)
    assert list(table.columns) == ["study", "series", "code", "level", "detail"]
    return table


def codes_of(folder):
    return rows_of(folder).groupby("study")["code"].agg(list).to_dict()


def test_every_study_has_its_verdict(cohort, tmp_path):
    summary = validate(Sources((cohort,)), tmp_path / "out", CONFIG)
    assert summary.complete
    assert codes_of(tmp_path / "out") == {
        "1.1": ["accepted", "several_series", "thick_slices"],
        "1.2": ["accepted", "patient_in_several_studies", "missing_slices", "thick_slices"],
        "1.3": ["not_chest", "thick_slices"],
        "1.4": ["not_ct", "patient_in_several_studies"],
        "unnamed-0001": ["damaged_header"],
    }
    rows = rows_of(tmp_path / "out").set_index(["study", "code"])
    assert rows.loc[("1.1", "accepted"), "series"] == "1.1.1"
    assert "first of 2 candidates, before 1.1.2 by slices" in rows.loc[("1.1", "accepted"), "detail"]
    assert rows.loc[("1.2", "missing_slices"), "detail"] == "1 gap: 6.0 mm above position 9.0 mm"
    assert rows.loc[("1.3", "not_chest"), "series"] == "1.3.1"
    assert "series chosen: original axial CT of 36 slices" in rows.loc[("1.3", "not_chest"), "detail"]
    assert rows.loc[("1.4", "not_ct"), "detail"].startswith("series choice: expected an axial CT series of 16 slices")
    assert [fault.path.name for fault in summary.faults] == ["a.dcm"]


def test_the_json_holds_the_rules_and_the_same_findings(cohort, tmp_path):
    validate(Sources((cohort,)), tmp_path / "out", CONFIG)
    data = json.loads((tmp_path / "out" / "verdicts.json").read_text())
    assert (data["format"], data["version"], data["n_studies"], data["n_refused"]) == ("pectl-verdicts", 1, 5, 3)
    assert data["use"] == "research use only, not for diagnosis"
    assert data["series_rules"][0] == "axial CT (leaning 30 degrees at most), 16 slices or more"
    assert data["codes"]["accepted"] == 2
    rows = rows_of(tmp_path / "out")
    flat = [
        (study["study"], study["series"], one["code"], one["level"], one["detail"])
        for study in data["studies"]
        for one in study["findings"]
    ]
    assert flat == list(rows.itertuples(index=False, name=None))
    assert {study["study"]: study["level"] for study in data["studies"]} == {
        "1.1": "warning",
        "1.2": "repair",
        "1.3": "error",
        "1.4": "error",
        "unnamed-0001": "error",
    }


def test_preprocess_leaves_the_same_verdicts(cohort, tmp_path):
    validate(Sources((cohort,)), tmp_path / "out", CONFIG)
    preprocess(Sources((cohort,)), tmp_path / "store", CONFIG)
    for name in ("verdicts.csv", "verdicts.json"):
        assert (tmp_path / "store" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_preprocess_takes_over_the_index(cohort, tmp_path, monkeypatch):
    validate(Sources((cohort,)), tmp_path / "out", CONFIG)
    monkeypatch.setattr("pectl.core.intake.index.read_file", None)
    summary = preprocess(Sources((cohort,), index=tmp_path / "out" / "dicom_index"), tmp_path / "store", CONFIG)
    assert (summary.n_done, summary.n_refused) == (2, 3)
    assert not (tmp_path / "store" / "dicom_index").exists()


def test_shards_and_workers_give_the_same_table(cohort, tmp_path):
    validate(Sources((cohort,)), tmp_path / "one", CONFIG)
    complete = [validate(Sources((cohort,), shard=(k, 3)), tmp_path / "shards", CONFIG).complete for k in (1, 0, 2)]
    assert complete == [False, False, True]
    validate(Sources((cohort,), workers=2), tmp_path / "two", CONFIG)
    for name in ("verdicts.csv", "verdicts.json", "verdicts/1.2.json"):
        content = (tmp_path / "one" / name).read_bytes()
        assert (tmp_path / "shards" / name).read_bytes() == content
        assert (tmp_path / "two" / name).read_bytes() == content


def test_only_what_changed_is_judged_again(cohort, tmp_path, write_series, monkeypatch):
    root = tmp_path / "dicom"
    for study in ("1.1", "1.2"):
        write_series(root / study, study=study, **SMALL)
    assert validate(Sources((root,)), tmp_path / "out", CONFIG).n_reused == 0
    (root / "1.2" / "0003.dcm").unlink()
    judged, examine = [], study_intake.examine
    monkeypatch.setattr(
        study_intake, "examine", lambda uid, *args, **kw: judged.append(uid) or examine(uid, *args, **kw)
    )
    assert validate(Sources((root,)), tmp_path / "out", CONFIG).n_reused == 1
    assert judged == ["1.2"]
    assert "missing_slices" in codes_of(tmp_path / "out")["1.2"]
    other = Config(preprocess=CONFIG.preprocess.model_copy(update={"min_slices": 36}))
    assert validate(Sources((root,)), tmp_path / "out", other).n_reused == 0
    assert codes_of(tmp_path / "out")["1.2"][0] == "too_few_slices"
    (tmp_path / "out" / "verdicts" / "1.1.json").write_text('{"study": "1.1"}')
    assert validate(Sources((root,)), tmp_path / "out", other).n_reused == 1


def labels_of(root, **changes):
    """A table that says no PE of every image of 1.1 and 1.2, and holds a study 7.7 of which there is no image."""
    cohort = index_files(Given([root]), folder=root.parent / "index", known=lambda uid: False)
    images = {(uid, header.sop_uid) for uid in ("1.1", "1.2") for header in cohort.task(uid).headers}
    negative = dict.fromkeys(STUDY_LABELS, 0) | {"negative_exam_for_pe": 1}
    rows = [
        {"StudyInstanceUID": uid, "SOPInstanceUID": image, "pe_present_on_image": 0} | negative
        for uid, image in sorted(images | {("7.7", "7.7.1")})
    ]
    table = pd.DataFrame(rows)
    for (uid, column), value in changes.items():
        table.loc[table["StudyInstanceUID"] == uid, column] = value
    return table


def test_labels_are_judged_study_by_study(cohort, tmp_path):
    table = labels_of(cohort).astype(str)
    table.loc[table["StudyInstanceUID"] == "1.2", "chronic_pe"] = "1"
    table.loc[0, "qa_motion"] = "maybe"
    table.drop(index=[3, 4]).to_csv(tmp_path / "train.csv", index=False)
    summary = validate(Sources((cohort,), tmp_path / "train.csv"), tmp_path / "out", CONFIG)
    rows = rows_of(tmp_path / "out").set_index(["study", "code"])["detail"]
    assert rows[("1.1", "label_breach")] == "qa_motion isn't 0 or 1: row 2: maybe"
    assert rows[("1.2", "label_breach")] == "a study without PE has none of the seven labels of PE"
    assert rows[("1.1", "labels_without_images")] == "30 of 64 labels"
    assert rows[("1.1", "images_without_labels")] == "2 of 36 images"
    assert rows[("1.3", "not_labelled")] == "all labels are unknown"
    assert rows[("7.7", "studies_without_images")] == "1 labels"
    assert summary.complete
    with pytest.raises(LabelsError, match="qa_motion isn't 0 or 1"):
        preprocess(Sources((cohort,), tmp_path / "train.csv"), tmp_path / "store", CONFIG)


def test_with_good_labels_preprocess_agrees_again(cohort, tmp_path):
    labels_of(cohort).to_csv(tmp_path / "train.csv", index=False)
    sources = Sources((cohort,), tmp_path / "train.csv")
    validate(sources, tmp_path / "out", CONFIG)
    preprocess(sources, tmp_path / "store", CONFIG)
    assert (tmp_path / "store" / "verdicts.csv").read_bytes() == (tmp_path / "out" / "verdicts.csv").read_bytes()
    assert codes_of(tmp_path / "out")["7.7"] == ["studies_without_images"]


def test_the_intake_imports_no_library_that_few_studies_need():
    """It would cost every worker seconds."""
    heavy = ("torch", "pandas", "pydicom")  # the last two are for labels, and for what the walk over tags leaves
    found = f"any(name in sys.modules for name in {heavy})"
    code = f"import sys, pectl.core.intake.store_study; sys.exit({found})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_intake_starts_without_what_only_the_studies_need():
    found = "any(name in sys.modules for name in ('scipy', 'cv2', 'h5py', 'pandas'))"
    code = f"import sys, pectl.steps.validate, pectl.steps.preprocess; sys.exit({found})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_judging_imports_nothing_that_only_a_store_needs():
    code = "import sys, pectl.core.intake.judge_study; sys.exit('h5py' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_named_series_is_used_by_both_and_naming_another_one_does_the_study_again(cohort, tmp_path):
    def sources(**options):
        return Sources((cohort / "1.1",), index=tmp_path / "index", **options)

    other = NamedSeries(by_study={"1.1": "1.1.2", "1.9": "1.9.1"})
    assert [one.series for one in validate(sources(), tmp_path / "out", CONFIG).verdicts] == ["1.1.1"]
    summary = validate(sources(series=other), tmp_path / "out", CONFIG)
    assert ([one.series for one in summary.verdicts], summary.n_reused, summary.absent) == (["1.1.2"], 0, ("1.9",))
    assert preprocess(sources(), tmp_path / "store", CONFIG).verdicts[0].series == "1.1.1"
    summary = preprocess(sources(series=other), tmp_path / "store", CONFIG)
    assert ([one.series for one in summary.verdicts], summary.absent) == (["1.1.2"], ("1.9",))
    assert pd.read_csv(tmp_path / "store" / "verdicts.csv", dtype=str)["series"].unique().tolist() == ["1.1.2"]
    assert preprocess(sources(series=other), tmp_path / "store", CONFIG).n_skipped == 1
    lost = NamedSeries(only="7.7")
    assert preprocess(sources(series=lost), tmp_path / "store", CONFIG).refused[0].outcome.code == "series_not_found"
    assert not list((tmp_path / "store" / "studies").iterdir())
