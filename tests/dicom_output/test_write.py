"""Files: whole or not at all, the same for the same result, replaced by a different one."""

import pydicom
import pytest

from pectl.dicom_output import objects, write
from pectl.dicom_output.result import Answer, Call, Kind
from pectl.dicom_output.write import write_dicom
from pectl.errors import DicomOutputError, OutputExistsError, StoreError
from tests.dicom_output.conftest import ANSWERS

NAMES = ["sr.dcm", "key-images-1.dcm", "key-images-2.dcm", "kos.dcm", "heat.dcm", "seg.dcm"]
OTHER = ANSWERS | {"pe_present": Answer(0.2, Call.ABSENT)}


def uids_of(folder) -> dict[str, str]:
    return {path.name: pydicom.dcmread(path).SOPInstanceUID for path in sorted(folder.iterdir())}


def test_every_kind_is_written_and_valid(original, make_result, tmp_path, judge) -> None:
    written = write_dicom(make_result(), original, tmp_path / "out", list(Kind))
    folder = tmp_path / "out" / "1.2.3"
    assert written.files == tuple(folder / name for name in NAMES)
    assert written.skipped == ()
    assert [judge(path) for path in written.files] == [[]] * 6
    datasets = [pydicom.dcmread(path) for path in written.files]
    assert len({dataset.SeriesInstanceUID for dataset in datasets}) == 5
    assert {dataset.file_meta.TransferSyntaxUID for dataset in datasets} == {"1.2.840.10008.1.2.1"}
    assert {dataset.Manufacturer for dataset in datasets} == {"pectl"}
    assert all("research use only" in dataset.SeriesDescription for dataset in datasets)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1.2.3"]


def test_only_what_was_asked_for(original, make_result, tmp_path) -> None:
    written = write_dicom(make_result(), original, tmp_path / "out", [Kind.KOS])
    assert [path.name for path in (tmp_path / "out" / "1.2.3").iterdir()] == ["kos.dcm"]
    assert written.files == (tmp_path / "out" / "1.2.3" / "kos.dcm",)


def test_the_same_result_has_the_same_uids_anywhere(original, make_result, tmp_path) -> None:
    for name in ("one", "two"):
        write_dicom(make_result(), original, tmp_path / name, list(Kind))
    assert uids_of(tmp_path / "one" / "1.2.3") == uids_of(tmp_path / "two" / "1.2.3")


def test_the_same_result_again_leaves_the_files_as_they_are(original, make_result, tmp_path) -> None:
    first = write_dicom(make_result(), original, tmp_path / "out", [Kind.SR, Kind.HEAT])
    before = {path.name: path.read_bytes() for path in first.files}
    assert write_dicom(make_result(), original, tmp_path / "out", [Kind.SR, Kind.HEAT]) == first
    more = write_dicom(make_result(), original, tmp_path / "out", [Kind.SR, Kind.KOS])
    assert [path.name for path in more.files] == ["sr.dcm", "kos.dcm"]
    folder = tmp_path / "out" / "1.2.3"
    assert sorted(path.name for path in folder.iterdir()) == ["heat.dcm", "kos.dcm", "sr.dcm"]
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_different_result_has_other_uids_and_names_its_predecessor(original, make_result, tmp_path) -> None:
    folder = tmp_path / "out" / "1.2.3"
    write_dicom(make_result(), original, tmp_path / "out", list(Kind))
    before, old = uids_of(folder), pydicom.dcmread(folder / "sr.dcm")
    write_dicom(make_result(answers=OTHER), original, tmp_path / "out", [Kind.SR, Kind.KOS])
    assert sorted(uids_of(folder)) == ["kos.dcm", "sr.dcm"]
    assert not set(before.values()) & set(uids_of(folder).values())
    [study] = pydicom.dcmread(folder / "sr.dcm").PredecessorDocumentsSequence
    [series] = study.ReferencedSeriesSequence
    [document] = series.ReferencedSOPSequence
    assert study.StudyInstanceUID == "1.2.3"
    assert series.SeriesInstanceUID == old.SeriesInstanceUID
    assert document.ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert document.ReferencedSOPClassUID == old.SOPClassUID


def test_other_heat_replaces_what_shows_heat_and_a_result_without_heat_leaves_it(
    original, make_result, tmp_path
) -> None:
    kinds, folder = [Kind.SR, Kind.KEY_IMAGES, Kind.HEAT], tmp_path / "out" / "1.2.3"
    write_dicom(make_result(), original, tmp_path / "out", kinds)
    before = uids_of(folder)
    write_dicom(make_result(heat={}), original, tmp_path / "out", [Kind.SR, Kind.KOS])
    assert uids_of(folder) == before | {"kos.dcm": uids_of(folder)["kos.dcm"]}
    other = make_result(heat={uid: heat / 2 for uid, heat in make_result().heat.items()})
    write_dicom(other, original, tmp_path / "out", kinds)
    after = uids_of(folder)
    assert sorted(after) == ["heat.dcm", "key-images-1.dcm", "key-images-2.dcm", "kos.dcm", "sr.dcm"]
    assert {name for name in before if before[name] == after[name]} == {"sr.dcm"}
    assert "PredecessorDocumentsSequence" not in pydicom.dcmread(folder / "sr.dcm")


def test_a_predecessor_is_valid(original, make_result, tmp_path, judge) -> None:
    write_dicom(make_result(), original, tmp_path / "out", [Kind.SR])
    [path] = write_dicom(make_result(answers=OTHER), original, tmp_path / "out", [Kind.SR]).files
    assert judge(path) == []


def test_other_files_are_never_replaced(original, make_result, tmp_path) -> None:
    folder = tmp_path / "out" / "1.2.3"
    folder.mkdir(parents=True)
    (folder / "IM0001").write_text("an image")
    with pytest.raises(OutputExistsError, match=r"1\.2\.3: expected objects that pectl wrote, or no folder"):
        write_dicom(make_result(), original, tmp_path / "out", [Kind.SR])
    assert (folder / "IM0001").read_text() == "an image"


def test_a_damaged_file_is_named(original, make_result, tmp_path) -> None:
    folder = tmp_path / "out" / "1.2.3"
    folder.mkdir(parents=True)
    (folder / "sr.dcm").write_text("no DICOM")
    with pytest.raises(StoreError, match=r"sr\.dcm: expected an object that pectl wrote, found no DICOM file; take it"):
        write_dicom(make_result(), original, tmp_path / "out", [Kind.SR])


def test_a_failure_leaves_the_old_objects(original, make_result, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "out" / "1.2.3"
    write_dicom(make_result(), original, tmp_path / "out", [Kind.SR, Kind.KOS])
    before = uids_of(folder)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(objects, "write_selection", fail)
    with pytest.raises(StoreError, match="to write the folder, found No space left on device; free space"):
        write_dicom(make_result(answers=OTHER), original, tmp_path / "out", [Kind.SR, Kind.KOS])
    assert uids_of(folder) == before
    assert list((tmp_path / "out").iterdir()) == [folder]


@pytest.mark.parametrize("kind", [KeyError, AttributeError, ValueError])
def test_what_highdicom_refuses_is_told_without_its_words(original, make_result, tmp_path, monkeypatch, kind) -> None:
    def refuse(*_: object) -> None:
        raise kind("Doe^Jane is no valid name")

    monkeypatch.setattr(objects, "write_selection", refuse)
    with pytest.raises(DicomOutputError) as error:
        write_dicom(make_result(), original, tmp_path / "out", [Kind.SR, Kind.KOS])
    assert str(error.value) == (
        f"kos.dcm: expected a series that highdicom can refer to, found one that it can't: {kind.__name__}; "
        "leave this kind out of --dicom, and report it with the scanner's model"
    )
    assert list((tmp_path / "out").iterdir()) == []


def test_without_the_extra_it_says_how_to_install_it(make_result, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(write, "find_spec", lambda name: None)
    with pytest.raises(DicomOutputError) as error:
        write_dicom(make_result(), [], tmp_path, [Kind.SR])
    expected = "DICOM output: expected the package highdicom, found not installed; pip install 'pectl[dicom]'"
    assert str(error.value) == expected
