"""The studies below a folder: grouped whatever the layout, shared out, kept only where there is work."""

import pytest

from pectl.core.data.dicom_index import in_shard, index_files
from pectl.errors import InputMissingError


@pytest.fixture
def root(tmp_path, write_series):
    for study in ("1.1", "1.2", "1.3"):
        write_series(tmp_path / "dicom" / study, study=study, n_slices=3, size=(8, 8))
    write_series(tmp_path / "dicom" / "mixed", study="1.1", series="2", n_slices=2, size=(8, 8))
    (tmp_path / "dicom" / "README").write_text("notes\n" * 100)
    return tmp_path / "dicom"


def nothing_known(uid):
    return False


def test_files_are_grouped_by_study(root):
    cohort = index_files(root, known=nothing_known)
    assert {uid: len(headers) for uid, headers in cohort.todo.items()} == {"1.1": 5, "1.2": 3, "1.3": 3}
    assert cohort.patient_id == dict.fromkeys(("1.1", "1.2", "1.3"), "P1")
    assert cohort.n_known == 0
    assert cohort.unreadable == []


def test_finished_studies_are_counted_and_their_headers_let_go(root):
    cohort = index_files(root, known=lambda uid: uid == "1.1")
    assert sorted(cohort.todo) == ["1.2", "1.3"]
    assert sorted(cohort.patient_id) == ["1.1", "1.2", "1.3"]
    assert cohort.n_known == 1


def test_shards_part_the_studies(root):
    shards = [index_files(root, shard=(index, 2), known=nothing_known) for index in range(2)]
    assert sorted(uid for shard in shards for uid in shard.todo) == ["1.1", "1.2", "1.3"]
    assert all(sorted(shard.patient_id) == ["1.1", "1.2", "1.3"] for shard in shards)


def test_shards_are_about_equal_and_stay_the_same():
    uids = [f"1.2.{number}" for number in range(3000)]
    counts = [sum(in_shard(uid, (index, 3)) for uid in uids) for index in range(3)]
    assert sum(counts) == 3000
    assert min(counts) > 900
    assert in_shard("1.2.840", (2, 4))
    assert in_shard("anything", None)


def test_one_file_is_a_root(root):
    cohort = index_files(next((root / "1.2").iterdir()), known=nothing_known)
    assert list(cohort.todo) == ["1.2"]
    assert len(cohort.todo["1.2"]) == 1


@pytest.mark.parametrize("uid", ["", "../../etc", "1.2 "])
def test_unsafe_study_uids_get_neutral_names_by_folder(tmp_path, write_series, uid):
    def edit(dataset, place):
        dataset["StudyInstanceUID"]._value = uid.strip()

    for folder in ("b", "a"):
        write_series(tmp_path / folder, n_slices=2, size=(8, 8), edit=edit)
    cohort = index_files(tmp_path, known=nothing_known)
    expected = ["1.2"] if uid.strip() == "1.2" else ["unnamed-0001", "unnamed-0002"]
    assert sorted(cohort.todo) == expected
    if len(expected) == 2:
        assert {header.path.parent.name for header in cohort.todo["unnamed-0001"]} == {"a"}


def test_no_such_folder(tmp_path):
    with pytest.raises(InputMissingError, match="none: expected a folder with DICOM files, found no such folder"):
        index_files(tmp_path / "none", known=nothing_known)


def test_no_dicom_inside(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here\n")
    with pytest.raises(InputMissingError, match="expected DICOM files, found none among 1 files; check the path"):
        index_files(tmp_path, known=nothing_known)


def test_damaged_and_unreadable_files_are_named(root):
    damaged = root / "1.2" / "0000.dcm"
    damaged.write_bytes(damaged.read_bytes()[:141])  # inside the length of the meta header
    (root / "1.2" / "broken link").symlink_to(root / "nowhere")
    cohort = index_files(root, known=nothing_known)
    assert [path.name for path in cohort.unreadable] == ["0000.dcm", "broken link"]
    assert len(cohort.todo["1.2"]) == 2
