"""The choice of one axial CT series of a study, with its reason; the rest goes out by name."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pectl.core.data.dicom import SliceHeader
from pectl.core.data.findings import CODES, Finding
from pectl.errors import StudyRefusedError

LARGEST_LEAN_DEG = 30.0
"""An image plane that leans more than this isn't axial; gantries tilt by 30 degrees at most."""

_SCOUT_WORDS = ("LOCALIZER", "SCOUT", "SURVIEW", "TOPOGRAM")
_PROJECTION_WORDS = (
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


@dataclass(frozen=True)
class SeriesChoice:
    """The slices to use, why these, and what was left out or is worth knowing."""

    headers: tuple[SliceHeader, ...]
    reason: str
    findings: tuple[Finding, ...]


def choose_series(headers: Iterable[SliceHeader], *, min_slices: int) -> SeriesChoice:
    """Choose axial CT, ORIGINAL before derived, no projection, most slices, lowest UID.

    Raises:
        StudyRefusedError: no series has `min_slices` axial CT slices; the message counts what there is.
    """
    excluded: Counter[str] = Counter()
    usable: dict[str, list[SliceHeader]] = defaultdict(list)
    for header in headers:
        if code := exclusion(header):
            excluded[code] += 1
        else:
            usable[header.series_uid].append(header)
    candidates = {uid: slices for uid, slices in usable.items() if len(slices) >= min_slices}
    if not candidates:
        raise _nothing_usable(usable, excluded, min_slices)
    chosen = min(candidates, key=lambda uid: (_rank(candidates[uid]), uid))
    return SeriesChoice(
        headers=tuple(candidates[chosen]),
        reason=_reason(candidates, chosen, usable, excluded),
        findings=tuple(_findings(candidates, chosen)),
    )


def exclusion(header: SliceHeader) -> str | None:
    """Return the code of why an image can't be an axial CT slice, or None."""
    if header.modality != "CT":
        return "not_ct"
    if any(scout in word for word in header.image_type for scout in _SCOUT_WORDS):
        return "localizer"
    if header.frames > 1:
        return "multi_frame"
    if header.samples != 1 or None in (header.position, header.orientation, header.pixel_spacing_mm):
        return "screen_capture"
    return None if lean_deg(header) <= LARGEST_LEAN_DEG else "not_axial"


def lean_deg(header: SliceHeader) -> float:
    """Return the angle between the image plane and the axial plane, 0 to 90 degrees; 90 for unusable axes."""
    row, column = np.reshape(header.orientation or (0.0,) * 6, (2, 3))
    normal = np.cross(row, column)
    length = float(np.linalg.norm(normal))
    if not 0.9 < length < 1.1:
        return 90.0
    return float(np.degrees(np.arccos(min(1.0, abs(normal[2]) / length))))


def _rank(slices: list[SliceHeader]) -> tuple[bool, bool, int]:
    """Order candidates, best first."""
    words = slices[len(slices) // 2].image_type
    return not is_original(slices), any(word in _PROJECTION_WORDS for word in words), -len(slices)


def is_original(slices: list[SliceHeader]) -> bool:
    """Tell whether most slices are ORIGINAL (ImageType, value 1); without a type they count as such."""
    derived = sum(bool(header.image_type) and header.image_type[0] != "ORIGINAL" for header in slices)
    return 2 * derived < len(slices)


def _findings(candidates: dict[str, list[SliceHeader]], chosen: str) -> Iterable[Finding]:
    if len(candidates) > 1:
        others = ", ".join(str(len(slices)) for uid, slices in sorted(candidates.items()) if uid != chosen)
        yield Finding("several_series", f"{len(candidates[chosen])} slices taken, others of {others}")
    if not is_original(candidates[chosen]):
        yield Finding("derived_series", "/".join(candidates[chosen][0].image_type[:4]))


def _reason(
    candidates: dict[str, list[SliceHeader]],
    chosen: str,
    usable: dict[str, list[SliceHeader]],
    excluded: Counter[str],
) -> str:
    kind = "original" if is_original(candidates[chosen]) else "derived"
    text = f"{kind} axial CT with {len(candidates[chosen])} slices, first of {len(candidates)} candidate series"
    dropped = [f"{count} {code}" for code, count in sorted(excluded.items())]
    dropped += [f"series of {len(slices)} slices" for uid, slices in sorted(usable.items()) if uid != chosen]
    return f"{text}; left out: {', '.join(dropped)}" if dropped else text


def _nothing_usable(usable: dict[str, list[SliceHeader]], excluded: Counter[str], min_slices: int) -> StudyRefusedError:
    found = [f"{count} x {code} ({CODES[code][1]})" for code, count in excluded.most_common()]
    found += [f"a series of {len(slices)} axial slices" for _, slices in sorted(usable.items())]
    code = "too_few_slices" if usable else next(iter(excluded.most_common()), ("no_image", 0))[0]
    return StudyRefusedError(
        code, where="series choice", expected=f"an axial CT series of {min_slices} slices or more",
        found="; ".join(found) or "no image", fix="export the axial series of the chest",
    )  # fmt: skip
