"""The studies below a folder: grouped whatever the layout, shared out, kept only where there is work."""

import errno
import gzip
import os
from pathlib import Path

import pytest

from pectl.core.dicom.header_cache import HeaderCache
from pectl.core.dicom.sources import FileEntry, find_entries
from pectl.core.intake import index as dicom_index
from pectl.core.intake.cohort import in_shard
from pectl.core.intake.index import index_files
from pectl.core.volumes.stated import Given
from pectl.errors import InputMissingError
from tests.apple_doubles import APPLE_DOUBLE, add_apple_doubles


@pytest.fixture
def root(tmp_path, write_series):
    for study in ("1.1", "1.2", "1.3"):
        write_series(tmp_path / "dicom" / study, study=study, n_slices=3, size=(8, 8))
    write_series(tmp_path / "dicom" / "mixed", study="1.1", series="2", n_slices=2, size=(8, 8))
    (tmp_path / "dicom" / "README").write_text("notes\n" * 100)
    return tmp_path / "dicom"


def nothing_known(uid):
    return False


@pytest.fixture
def index(tmp_path):
    def index(*sources, known=nothing_known, **options):
        return index_files(Given(sources), folder=tmp_path / "index", known=known, **options)

    return index


def counts(cohort):
    return {uid: len(cohort.task(uid).headers) for uid in cohort.todo}


def test_files_are_grouped_by_study(root, index):
    cohort = index(root)
    assert counts(cohort) == {"1.1": 5, "1.2": 3, "1.3": 3}
    assert len(set(cohort.patient.values())) == 1
    assert sorted(cohort.patient) == ["1.1", "1.2", "1.3"]
    assert (cohort.n_files, cohort.n_other, cohort.n_known, cohort.faults) == (12, 1, 0, [])


def test_finished_studies_are_counted_and_their_headers_let_go(root, index):
    cohort = index(root, known=lambda uid: uid == "1.1")
    assert cohort.todo == ["1.2", "1.3"]
    assert sorted(cohort.patient) == ["1.1", "1.2", "1.3"]
    assert cohort.n_known == 1


def test_shards_part_the_studies(root, index):
    shards = [index(root, shard=(number, 2)) for number in range(2)]
    assert sorted(uid for shard in shards for uid in shard.todo) == ["1.1", "1.2", "1.3"]
    assert all(sorted(shard.patient) == ["1.1", "1.2", "1.3"] for shard in shards)


def test_shards_are_about_equal_and_stay_the_same():
    uids = [f"1.2.{number}" for number in range(3000)]
    counts = [sum(in_shard(uid, (number, 3)) for uid in uids) for number in range(3)]
    assert sum(counts) == 3000
    assert min(counts) > 900
    assert in_shard("1.2.840", (2, 4))
    assert in_shard("anything", None)


def test_one_file_is_a_source_and_several_are_taken_once(root, index):
    first, second, _ = sorted((root / "1.2").iterdir())
    assert counts(index(first)) == {"1.2": 1}
    assert counts(index(first, second, first, root / "1.3")) == {"1.2": 2, "1.3": 3}


@pytest.mark.parametrize("uid", ["", "../../etc", "1.2 "])
def test_unsafe_study_uids_get_neutral_names_by_folder(tmp_path, write_series, index, uid):
    def edit(dataset, place):
        dataset["StudyInstanceUID"]._value = uid.strip()

    for folder in ("b", "a"):
        write_series(tmp_path / folder, n_slices=2, size=(8, 8), edit=edit)
    cohort = index(tmp_path / "a", tmp_path / "b")
    expected = ["1.2"] if uid.strip() == "1.2" else ["unnamed-0001", "unnamed-0002"]
    assert cohort.todo == expected
    if len(expected) == 2:
        assert {header.path.parent.name for header in cohort.task("unnamed-0001").headers} == {"a"}


def test_no_such_folder(tmp_path, index):
    message = "none: expected a folder, file, archive or DICOMDIR, found no such file or folder"
    with pytest.raises(InputMissingError, match=message):
        index(tmp_path / "none")


def test_no_dicom_inside(tmp_path, index):
    (tmp_path / "notes.txt").write_text("nothing here\n")
    with pytest.raises(
        InputMissingError, match="expected DICOM files or volumes, found none among 1 files; check the path"
    ):
        index(tmp_path / "notes.txt")


def test_what_macos_leaves_beside_files_is_neither_an_image_nor_a_fault(root, index):
    before = index(root)
    add_apple_doubles(root)
    (root / "1.2" / "._chest.nii.gz").write_bytes(APPLE_DOUBLE)
    cohort = index(root)
    assert counts(cohort) == counts(before)
    assert (cohort.faults, cohort.n_other, cohort.n_files) == ([], before.n_other + 13, before.n_files + 13)


def test_faulty_files_are_named_and_noted_with_the_study_beside_them(root, index):
    damaged, empty = root / "1.2" / "0000.dcm", root / "1.3" / "0000.dcm"
    damaged.write_bytes(damaged.read_bytes()[:141])  # inside the length of the meta header
    empty.write_bytes(b"")
    (root / "1.2" / "broken link").symlink_to(root / "nowhere")
    os.mkfifo(root / "1.2" / "pipe")  # to open it would wait for ever
    cohort = index(root)
    assert [(fault.path.name, fault.code) for fault in cohort.faults] == [
        ("0000.dcm", "damaged_header"),
        ("broken link", "unreadable_file"),
        ("pipe", "unreadable_file"),
        ("0000.dcm", "damaged_header"),
    ]
    assert counts(cohort) == {"1.1": 5, "1.2": 2, "1.3": 2}
    notes = [note for note in cohort.task("1.2").notes if note.code == "damaged_files"]
    assert [note.detail for note in notes] == ["1 file (damaged_header)", "2 files (unreadable_file)"]


def test_faulty_files_of_no_study_are_one_of_their_own(root, index):
    for name in ("a.dcm", "b.dcm"):
        (root / "lost" / name).parent.mkdir(exist_ok=True)
        (root / "lost" / name).write_text("what remains of an export\n")
    cohort = index(root)
    assert cohort.todo == ["1.1", "1.2", "1.3", "unnamed-0001"]
    task = cohort.task("unnamed-0001")
    assert (task.headers, [(note.code, note.detail) for note in task.notes]) == ([], [("damaged_header", "2 files")])


class StaleListing:
    """A folder's listing that breaks off, as on a server that was restarted."""

    def __init__(self, folder):
        self._folder = folder

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def __iter__(self):
        return self

    def __next__(self):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), self._folder)


@pytest.mark.parametrize("fault", ["no permission", "stale"])
def test_folders_that_cannot_be_listed_are_named_and_a_refusal(root, index, monkeypatch, fault):
    listing = os.scandir

    def scandir(folder):
        if not str(folder).endswith(("1.2", "1.3")):
            return listing(folder)
        if fault == "stale":
            return StaleListing(folder)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)

    monkeypatch.setattr(os, "scandir", scandir)
    for _ in range(2):  # the index doesn't keep it
        cohort = index(root)
        assert [(one.path.name, one.code, one.unread) for one in cohort.faults] == [
            ("1.2", "unreadable_folder", True),
            ("1.3", "unreadable_folder", True),
        ]
        assert cohort.todo == ["1.1", "unnamed-0001", "unnamed-0002"]
        [note] = cohort.task("unnamed-0001").notes
        assert (note.code, note.detail, note.level) == ("unreadable_folder", "1 folder", "error")
    monkeypatch.undo()
    assert index(root).todo == ["1.1", "1.2", "1.3"]


def test_a_source_that_cannot_be_listed_is_a_refusal(root, index, monkeypatch):
    def scandir(folder):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [one.path for one in index(root, root / "1.1").faults] == [root, root / "1.1"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.EIO])
def test_files_that_cannot_be_opened_are_named_and_tried_again(root, index, monkeypatch, number):
    opened = Path.open

    def fail(path, *args, **options):
        if path.name == "0001.dcm" and path.parent.name == "1.2":
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", fail)
    cohort = index(root)
    assert [(one.path.name, one.code, one.unread) for one in cohort.faults] == [("0001.dcm", "unreadable_file", True)]
    assert counts(cohort)["1.2"] == 2
    monkeypatch.undo()
    assert counts(index(root))["1.2"] == 3


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE])
def test_a_source_that_cannot_be_looked_at(root, index, monkeypatch, number):
    def fail(path, **options):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "stat", fail)
    message = f"found {os.strerror(number)}; check permissions and the disk"
    with pytest.raises(InputMissingError, match=message):
        index(root)


def test_studies_of_one_patient_know_of_each_other(root, index, write_series, tmp_path):
    def other(dataset, place):
        dataset.PatientID = "anonymous"

    for study in ("2.1", "2.2"):
        write_series(tmp_path / "more" / study, study=study, n_slices=1, size=(8, 8), edit=other)
    cohort = index(root, tmp_path / "more")
    [note] = cohort.task("1.2").notes
    assert (note.code, note.detail) == ("patient_in_several_studies", "3 studies, beside this one 1.1, 1.3")
    assert cohort.task("2.1").notes == ()
    assert cohort.patient["2.1"] == ""


def several_ids(tmp_path, write_series, ids):
    """Write a study per entry of `ids`, with a slice of each PatientID in it."""
    for number, patients in enumerate(ids):

        def edit(dataset, place, patients=patients):
            dataset.PatientID = patients[place]

        study = f"3.{100 + number}"
        write_series(tmp_path / "p" / study, study=study, n_slices=len(patients), size=(8, 8), edit=edit)
    return tmp_path / "p"


def noted(cohort, uid):
    return {note.code: note.detail for note in cohort.task(uid).notes}


def test_several_patients_in_one_study_are_named_and_keep_their_studies_together(tmp_path, write_series, index):
    root = several_ids(tmp_path, write_series, [["A", "B"], ["B"], ["C", "C"], ["B", "D"], ["D", ""], ["E"]])
    cohort = index(root)
    assert noted(cohort, "3.100")["several_patients"] == "2 PatientIDs"
    assert noted(cohort, "3.103")["several_patients"] == "2 PatientIDs"
    assert [uid for uid in cohort.todo if "several_patients" in noted(cohort, uid)] == ["3.100", "3.103"]
    together = [uid for uid in cohort.todo if cohort.patient[uid] == cohort.patient["3.100"]]
    assert together == ["3.100", "3.101", "3.103", "3.104"]
    assert noted(cohort, "3.104")["patient_in_several_studies"] == "4 studies, beside this one 3.100, 3.101, 3.103"
    assert len(set(cohort.patient.values())) == 3


def test_several_patients_are_found_across_parts_of_the_index(tmp_path, write_series, index, monkeypatch):
    root = several_ids(tmp_path, write_series, [["A", "B", "B", "A"]])
    monkeypatch.setattr(dicom_index, "_LARGEST_PART", 1)
    assert noted(index(root), "3.100")["several_patients"] == "2 PatientIDs"


@pytest.mark.parametrize(
    ("ids", "remark"),
    [
        ([["SITE 7"]] * 12, "one PatientID in 12 of 12 studies"),
        ([["SITE 7"]] * 10 + [[str(k)] for k in range(9)], "one PatientID in 10 of 19 studies"),
        ([["SITE 7"]] * 51 + [[str(k)] for k in range(60)], "one PatientID in 51 of 111 studies"),
        ([["SITE 7"]] * 9, None),
        ([["SITE 7"]] * 10 + [[str(k)] for k in range(10)], None),
    ],
)
def test_an_id_shared_by_implausibly_many_studies_is_a_placeholder_said_once(
    tmp_path, write_series, index, ids, remark
):
    cohort = index(several_ids(tmp_path, write_series, ids))
    assert [one.detail for one in cohort.remarks] == (
        [f"{remark}: each of them counts as a patient of its own"] if remark else []
    )
    assert [one.code for one in cohort.remarks] == ["shared_patient_id"] * bool(remark)
    shared = {cohort.patient[uid] for uid in cohort.todo[: ids.count(["SITE 7"])]}
    assert shared == {""} if remark else shared != {""}
    assert ("patient_in_several_studies" in noted(cohort, "3.100")) is not bool(remark)


def test_a_placeholder_beside_a_real_id_is_no_second_patient(tmp_path, write_series, index):
    root = several_ids(tmp_path, write_series, [["SITE 7", str(k)] for k in range(12)])
    cohort = index(root)
    assert [noted(cohort, uid) for uid in cohort.todo] == [{}] * 12
    assert len(set(cohort.patient.values())) == 12


def test_what_is_said_of_a_patients_studies_does_not_grow_with_their_square(tmp_path, write_series, index):
    cohort = index(several_ids(tmp_path, write_series, [["A"]] * 9))
    assert noted(cohort, "3.100")["patient_in_several_studies"] == (
        "9 studies, beside this one 3.101, 3.102, 3.103, 3.104, 3.105 and 3 more"
    )
    assert noted(cohort, "3.108")["patient_in_several_studies"] == (
        "9 studies, beside this one 3.100, 3.101, 3.102, 3.103, 3.104 and 3 more"
    )


def test_a_second_run_reads_no_header(root, index, monkeypatch):
    first = index(root)
    monkeypatch.setattr(dicom_index, "read_file", None)
    again = index(root, workers=1)
    assert [again.task(uid) for uid in again.todo] == [first.task(uid) for uid in first.todo]
    assert again.patient == first.patient


def test_what_changed_is_read_anew(root, index, write_series, monkeypatch):
    index(root)
    write_series(root / "1.2", study="1.2", n_slices=3, size=(12, 12))
    (root / "1.3" / "0002.dcm").unlink()
    read, read_file = [], dicom_index.read_file
    monkeypatch.setattr(dicom_index, "read_file", lambda entry, cache: read.append(entry) or read_file(entry, cache))
    cohort = index(root)
    assert {header.rows for header in cohort.task("1.2").headers} == {12}
    assert counts(cohort)["1.3"] == 2
    assert [entry.path.parent.name for entry in read] == ["1.2"] * 3


def test_workers_give_the_same_index(root, tmp_path, index, monkeypatch):
    monkeypatch.setattr(dicom_index, "_MEAN_PART", 3)
    first = index(root)
    monkeypatch.setattr(dicom_index, "_LARGEST_PART", 2)
    other = index_files(Given([root]), folder=tmp_path / "other", known=nothing_known, workers=2)
    assert len(list((tmp_path / "other").rglob("*.gz"))) >= 6
    assert [other.task(uid).headers for uid in other.todo] == [
        [header._replace(patient_id=other.patient[uid]) for header in first.task(uid).headers] for uid in first.todo
    ]


def test_where_parts_are_cut_depends_on_the_names_alone(monkeypatch):
    monkeypatch.setattr(dicom_index, "_MEAN_PART", 5)
    entries = [FileEntry(Path(f"/data/{number:03}"), 1, 1) for number in range(100)]
    before = [part[-1] for part in dicom_index._cut(entries)]
    after = [part[-1] for part in dicom_index._cut([*entries[:50], FileEntry(Path("/data/049b"), 1, 1), *entries[50:]])]
    assert len(before) > 10
    assert set(before) <= set(after)


def test_jobs_at_once_share_the_reading(root, tmp_path, monkeypatch):
    """Another job holds every second part, and gives them back done."""
    monkeypatch.setattr(dicom_index, "_LARGEST_PART", 2)
    monkeypatch.setattr(dicom_index, "_WAIT_SECONDS", 0.01)
    folder = tmp_path / "index"
    cache = HeaderCache(folder)
    parts = list(dicom_index._cut(find_entries([root])))
    names = [cache.place(part[0].path) for part in parts]
    for name in names[::2]:
        claim = folder / name[:2] / f"{name}.claim"
        claim.parent.mkdir(parents=True, exist_ok=True)
        claim.write_text("another-host 1")
    read, read_file, sleep = [], dicom_index.read_file, dicom_index.time.sleep

    def done_elsewhere(seconds):
        for name, part in zip(names[::2], parts[::2], strict=True):
            cache.write(name, [(entry, read_file(entry, cache)) for entry in part])
        sleep(seconds)

    monkeypatch.setattr(dicom_index.time, "sleep", done_elsewhere)
    monkeypatch.setattr(dicom_index, "read_file", lambda entry, cache: read.append(entry) or read_file(entry, cache))
    cohort = index_files(Given([root]), folder=folder, shard=(0, 1), known=nothing_known)
    assert counts(cohort) == {"1.1": 5, "1.2": 3, "1.3": 3}
    assert read == [entry for part in parts[1::2] for entry in part]


def test_the_index_holds_no_patient_and_no_file_name(root, index, tmp_path):
    index(root)
    content = b"".join(
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in (tmp_path / "index").rglob("*")
        if path.is_file()
    )
    assert b"1.1.1.0" in content  # a SOPInstanceUID
    for text in (b'"P1"', b"Doe", b"0000.dcm", b"mixed", str(tmp_path).encode()):
        assert text not in content
    assert (tmp_path / "index" / "key").stat().st_mode & 0o077 == 0
