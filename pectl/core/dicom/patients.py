"""Whose studies they are: PatientID as it is compared, and groups of studies that keep no id."""

_PLACEHOLDERS = frozenset({"", "0", "anon", "anonymous", "anonymized", "anonymised", "none", "patient", "unknown"})


def normal_patient_id(patient_id: str) -> str:
    """Return PatientID as it is compared; empty for placeholders, which many patients share."""
    patient = patient_id.strip().lower()
    return "" if patient in _PLACEHOLDERS else patient


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
