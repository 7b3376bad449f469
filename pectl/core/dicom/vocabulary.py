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
SPECTRAL_WORDS = ("VMI", "VNC", "IODINE", "PBV", "Z_EFF", "ELECTRON_DENSITY", "MATERIAL")
"""What is computed from several energies: monoenergetic, virtual unenhanced, iodine, perfused blood volume, effective
atomic number, electron density, another material."""
HU_WORDS = ("", "VMI", "VNC")
"""Contents whose values are HU: CT numbers as scanned, and two that are computed."""
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
        *SPECTRAL_WORDS,
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
_BETWEEN, _AROUND = re.compile(r"[\\,;|]"), " \0'\"[](){}<>"
_PYTHON_PREFIX = re.compile(r"\b[ub](?=['\"])")
_PROJECTIONS = {
    name: re.compile(pattern)
    for name, pattern in {
        "MINIP": r"MIN_?IP|MINIMUM|(?<![A-Z0-9])MIN(?![A-Z])",
        "MIP": r"MIP|MAX_?IP|MAXIMUM|(?<![A-Z0-9])MAX(?![A-Z])",
        "AVERAGE": r"AVERAGE|(?<![A-Z0-9])(AVE|AVG|MEAN)(?![A-Z])",
        "VRT": r"VRT|(?<![A-Z0-9])(SSD|VR)(?![A-Z])",
        "PROJECTION IMAGE": r"PROJECTION",
        "MPR": r"MPR|REFORMAT|(?<![A-Z0-9])(CPR|SLAB|THICK)(?![A-Z])",
    }.items()
}
_SPECTRAL = {
    name: re.compile(pattern)
    for name, pattern in {
        "Z_EFF": r"Z[ _-]?EFF|EFF(ECTIVE)?[ _-]?(Z|ATOMIC|AT[ _-]?NUM)(?![A-Z])|(?<![A-Z0-9])RHO[ _/-]*Z(?![A-Z])",
        "ELECTRON_DENSITY": r"ELECTRON[ _-]?DENS|(?<![A-Z0-9])RHO(?![A-Z])",
        "PBV": r"(?<![A-Z])PBV(?![A-Z])|PERFUSED BLOOD",
        "VNC": r"(?<![A-Z])(VNC|VUE|VNE)(?![A-Z])|VIRTUAL[ _-]?(NON|UN|NATIVE)|MAT(ERIAL)?_REMOVED",
        "IODINE": r"IODINE(?! ?CONTRAST)|JOD[ -]?KARTE",
        "MATERIAL": r"MAT(ERIAL)?_(SPECIFIC|FRACTIONAL|MODIFIED|VALUE_BASED)|MATERIAL DENSITY|CALCIUM SUPP",
        "VMI": r"(?<![A-Z])VMI(?![A-Z])|MONO[ _-]?E|MONO ?[+P]|VIRTUAL[ _-]?MONO|MONOCHROM|[0-9] ?KEV(?![A-Z])",
    }.items()
}
"""Words of vendors and of PS3.3, C.8.15.3.2 (ImageType, value 4), looked for in capitals."""
_NO_UNITS = frozenset({"", "HU", "US", "HOUNSFIELD", "HOUNSFIELD UNITS", "NONE", "UNSPECIFIED"})
_UNITS = {
    "HU_MOD": "VNC",
    "MGML": "IODINE",
    "MG/ML": "IODINE",
    "Z_EFF": "Z_EFF",
    "ED": "ELECTRON_DENSITY",
    "EDW": "ELECTRON_DENSITY",
    "PCT": "MATERIAL",
}
"""RescaleType: the defined terms of PS3.3, C.11.1.1.2."""
_UID = re.compile(r"[0-9.]{1,64}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,12}")
UNKNOWN = "OTHER"


def words_of(text: str) -> list[str]:
    """Return the values of an attribute, also of one that holds a list as text: `['ORIGINAL', 'PRIMARY']`."""
    return [word for part in _BETWEEN.split(_PYTHON_PREFIX.sub("", text)) if (word := part.strip(_AROUND))]


def type_words(words: Iterable[str]) -> tuple[str, ...]:
    """Return the values of ImageType in capitals, each unknown one as OTHER.

    A vendor's word that holds a known one becomes it: `CT_SOM5 MIP` is MIP, `MPR THICK` is MPR.
    """
    return tuple(_type_word(word.strip().upper()) for word in words if word.strip())


def _type_word(word: str) -> str:
    if word in _TYPE_WORDS:
        return word
    scouts = (scout for scout in SCOUT_WORDS if scout in word)
    return next(scouts, "") or _inside(word, _PROJECTIONS) or _inside(word, _SPECTRAL) or UNKNOWN


def _inside(text: str, patterns: dict[str, re.Pattern[str]]) -> str:
    return next((name for name, pattern in patterns.items() if pattern.search(text)), "")


def content_of(image_type: Iterable[str], rescale_type: str, description: str) -> str:
    """Return what the values of an image are: empty for CT numbers as scanned, else one of `SPECTRAL_WORDS`, or OTHER.

    Args:
        image_type: as `type_words` returns it.
        rescale_type: RescaleType (PS3.3, C.11.1.1.2); HU, US (unspecified) and none say nothing.
        description: SeriesDescription, where vendors write what ImageType has no word for.
    """
    unit = " ".join(words_of(rescale_type.upper()))
    named = [word for word in image_type if word in SPECTRAL_WORDS]
    named += [word for word in (_UNITS.get(unit, ""), _inside(description.upper(), _SPECTRAL)) if word]
    maps = [word for word in named if word not in HU_WORDS]
    return next(iter(maps or named), "" if unit in _NO_UNITS else UNKNOWN)


def modality(text: str) -> str:
    """Return Modality; one that the standard doesn't know as OTHER, none as none."""
    return text if text in _MODALITIES or not text else UNKNOWN


def syntax_uid(text: str) -> str:
    """Return a transfer syntax, or OTHER where it can't be a UID."""
    return text if _UID.fullmatch(text) or not text else UNKNOWN


def integer(text: str) -> str:
    """Return an integer string such as AcquisitionNumber; empty where it isn't one."""
    return text if _INTEGER.fullmatch(text) else ""
