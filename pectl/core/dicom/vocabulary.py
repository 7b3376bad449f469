"""Words that may leave a header: code strings are free text to whoever fills them in, so only known ones are kept."""

import re
from collections.abc import Iterable

SCOUT_WORDS = ("LOCALIZER", "SCOUT", "SURVIEW", "TOPOGRAM")
"""Of ImageType, also as a part of a word."""
PROJECTION_WORDS = (
    "MIP",
    "MINIP",
    "MAX_IP",
    "MIN_IP",
    "MPR",
    "REFORMATTED",
    "PROJECTION IMAGE",
    "VRT",
    "AVERAGE",
)
_TYPE_WORDS = frozenset(
    {
        "ORIGINAL",
        "DERIVED",
        "PRIMARY",
        "SECONDARY",
        "AXIAL",
        "VOLUME",
        "NONE",
        "RESAMPLED",
        "MIXED",
        *PROJECTION_WORDS,
    }
)
_MODALITIES = frozenset(
    {
        "CR",
        "CT",
        "DX",
        "ECG",
        "ES",
        "IO",
        "KO",
        "MG",
        "MR",
        "NM",
        "OT",
        "PR",
        "PT",
        "PX",
        "RF",
        "RTDOSE",
        "RTPLAN",
        "RTSTRUCT",
        "SC",
        "SEG",
        "SM",
        "SR",
        "US",
        "XA",
    }
)
_UID = re.compile(r"[0-9.]{1,64}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,12}")
UNKNOWN = "OTHER"


def type_words(words: Iterable[str]) -> tuple[str, ...]:
    """Return the values of ImageType in capitals, each unknown one as OTHER; a scout's word says that it is one."""
    return tuple(_type_word(word.strip().upper()) for word in words if word.strip())


def _type_word(word: str) -> str:
    scouts = [scout for scout in SCOUT_WORDS if scout in word]
    return scouts[0] if scouts else word if word in _TYPE_WORDS else UNKNOWN


def modality(text: str) -> str:
    """Return Modality; one that the standard doesn't know as OTHER, none as none."""
    return text if text in _MODALITIES or not text else UNKNOWN


def syntax_uid(text: str) -> str:
    """Return a transfer syntax, or OTHER where it can't be a UID."""
    return text if _UID.fullmatch(text) or not text else UNKNOWN


def integer(text: str) -> str:
    """Return an integer string such as AcquisitionNumber; empty where it isn't one."""
    return text if _INTEGER.fullmatch(text) else ""
