"""Patients: words that are no id, ids that are no patient's, studies that belong together."""

import pytest

from pectl.core.dicom.patients import join_patients, normal_patient_id, shared_by_too_many


@pytest.mark.parametrize(
    "word",
    [
        "DEIDENTIFIED", "De-identified", "anonymous", "ANONYMIZED", "Anonymous^Patient", "0", "000000", "XXX", "---",
        "", " N/A ", "null", "<none>", "No ID", "REMOVED", "[redacted]",
    ],
)  # fmt: skip
def test_words_that_stand_for_no_patient(word):
    assert normal_patient_id(word) == ""


@pytest.mark.parametrize("word", ["P1", "ANONYM0001", "0001", "X", "X7", "10", "anonymous-17", "\xe6\x97\xa5"])
def test_ids_that_hold_such_a_word_are_ids(word):
    assert normal_patient_id(f" {word} ") == word.lower()


def test_ids_are_joined_through_studies_that_name_several():
    ids = {"a": {"1", "2"}, "b": {"3"}, "c": {"3", "4"}, "d": {"5"}, "e": {"4", "2"}, "f": set()}
    joined = join_patients(ids)
    assert joined["f"] == ""
    assert joined["a"] == joined["b"] == joined["c"] == joined["e"] != joined["d"]
    assert joined == join_patients(dict(reversed(ids.items())))


def test_a_long_chain_is_joined_in_little_time():
    ids = {str(k): {f"{k:06d}", f"{k + 1:06d}"} for k in range(50_000)}
    assert len(set(join_patients(ids).values())) == 1


def test_an_id_counts_once_a_study():
    assert shared_by_too_many({str(k): ["A", "A"] for k in range(9)}) == {}
    assert shared_by_too_many({str(k): ["A", "A"] for k in range(10)}) == {"A": 10}
