"""UIDs that follow from what an object says: the same result has the same UID, another result another."""

import re
import uuid

from pectl.dicom_output.result import StudyResult

ROOT = "2.25"
"""UIDs made from UUIDs (PS3.5 B.2)."""
_NAMESPACE = uuid.UUID("5f0c1f3e-6d0e-4a39-9c55-0b8f6f2b7a11")
_LAYOUT = 1
"""To be raised when the same result is written as other objects."""
_VALID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_LONGEST = 64


def derived_uid(result: StudyResult, role: str) -> str:
    """Return `2.25.` and the 128 bits of a UUID of (study, bundle digest, what is said, role), as a number.

    Heat doesn't count: whether it was asked for must not make a report another one.
    """
    return _uid(result, result.said_digest, role)


def heat_uid(result: StudyResult, role: str) -> str:
    """Return the same for what shows heat: other heat has another UID."""
    return _uid(result, result.content_digest, role)


def _uid(result: StudyResult, digest: str, role: str) -> str:
    parts = (_LAYOUT, result.study_uid, result.model.digest, digest, role)
    return f"{ROOT}.{uuid.uuid5(_NAMESPACE, '|'.join(map(str, parts))).int}"


def is_valid_uid(uid: str) -> bool:
    """Tell whether a UID is one by PS3.5 9.1: numbers without leading zeros between dots, 64 characters at most."""
    return len(uid) <= _LONGEST and _VALID.fullmatch(uid) is not None
