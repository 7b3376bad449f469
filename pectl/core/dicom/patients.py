"""Whose studies they are: PatientID as it is compared, and groups of studies that keep no id."""

import re
from collections import Counter
from collections.abc import Collection, Mapping

_PLACEHOLDERS = frozenset(
    (
        "anon",
        "anonym",
        "anonymous",
        "anonymized",
        "anonymised",
        "anonymouspatient",
        "anonymizedpatient",
        "confidential",
        "deid",
        "deidentified",
        "deidentifiedpatient",
        "deleted",
        "hidden",
        "id",
        "na",
        "nan",
        "nil",
        "noid",
        "noname",
        "none",
        "null",
        "nopatientid",
        "notavailable",
        "patient",
        "patientid",
        "pseudonym",
        "redacted",
        "removed",
        "secret",
        "unidentified",
        "unknown",
        "unknownpatient",
        "unnamed",
        "unspecified",
        "withheld",
    )
)
_FILLED = re.compile(r"0+|x{2,}")  # 0, 0000, XXX
_MOST_STUDIES = 50
"""No patient has more chest CTs in one collection."""
_LEAST_SHARED = 10
"""Fewer studies than this may all be of one patient who was followed up."""


def normal_patient_id(patient_id: str) -> str:
    """Return PatientID as it is compared; empty for placeholders, which many patients share."""
    patient = patient_id.strip().lower()
    word = "".join(filter(str.isalnum, patient))
    placeholder = not word or word in _PLACEHOLDERS or _FILLED.fullmatch(word)
    return "" if placeholder else patient


def shared_by_too_many(ids: Mapping[str, Collection[str]]) -> dict[str, int]:
    """Return the ids that stand in more studies than a patient can have, and in how many.

    That is more than 50, or 10 or more that are most of the studies.

    Args:
        ids: PatientIDs, or tokens of them, by StudyInstanceUID.
    """
    count = Counter(patient for patients in ids.values() for patient in set(patients))
    return {
        patient: n
        for patient, n in sorted(count.items())
        if n > _MOST_STUDIES or (n >= _LEAST_SHARED and 2 * n > len(ids))
    }


def join_patients(ids: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Return one id for each study: the same for all studies that share one, directly or through other studies.

    Args:
        ids: PatientIDs, or tokens of them, by StudyInstanceUID; a study without any keeps none.
    """
    joined: dict[str, str] = {}

    def first(patient: str) -> str:
        while (before := joined.setdefault(patient, patient)) != patient:
            joined[patient] = patient = joined[before]
        return patient

    for patients in ids.values():
        firsts = sorted({first(patient) for patient in patients})
        joined.update(dict.fromkeys(firsts, firsts[0]) if firsts else {})
    return {uid: first(min(patients)) if patients else "" for uid, patients in ids.items()}


def patient_groups(patient_id: dict[str, str]) -> dict[str, str]:
    """Name the patient of each study by the first of that patient's studies, so that no id is kept.

    Args:
        patient_id: PatientID, or a token of it, by StudyInstanceUID; empty and placeholder ids leave a study its
            own patient.
    """
    first: dict[str, str] = {}
    groups = {}
    for uid in sorted(patient_id):
        patient = normal_patient_id(patient_id[uid])
        groups[uid] = first.setdefault(patient, uid) if patient else uid
    return groups
