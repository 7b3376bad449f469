"""Which objects a result leads to, and which it can't lead to."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from pydicom.dataset import Dataset

from pectl.dicom_output.heat import HOT_SHARE, hot_slices, write_heat, write_segmentation
from pectl.dicom_output.key_images import write_key_image
from pectl.dicom_output.made_by import object_uid
from pectl.dicom_output.original import OriginalSeries
from pectl.dicom_output.report import write_report
from pectl.dicom_output.result import Kind, StudyResult
from pectl.dicom_output.selection import write_selection
from pectl.explanation.painting import SMALLEST_SHARE

_HEAT_SHARES = {Kind.HEAT: SMALLEST_SHARE, Kind.SEG: HOT_SHARE}


class Planned(NamedTuple):
    """An object to be written: its file name, its SOPInstanceUID, and what makes it."""

    name: str
    uid: str
    make: Callable[[], Dataset]


class Skipped(NamedTuple):
    """A kind that was asked for and isn't written: a stable code, and the reason in words."""

    kind: Kind
    code: str
    reason: str


def why_not(result: StudyResult, original: OriginalSeries, kind: Kind) -> Skipped | None:
    """Return why a kind can't be written; None where it can."""
    if kind in (Kind.KEY_IMAGES, Kind.KOS) and not result.key_images:
        return Skipped(kind, "no_key_images", "the result names no slice to look at")
    if kind not in _HEAT_SHARES:
        return None
    slices = hot_slices(result, original, _HEAT_SHARES[kind])
    if not slices:
        return Skipped(kind, "no_heat", f"no slice holds {_HEAT_SHARES[kind]:.0%} of {result.heat_scale} or more")
    frames = {str(item.get("FrameOfReferenceUID", "")) for item in slices}
    if len(frames) > 1 or "" in frames:
        reason = f"its slices have {len(frames - {''}) or 'no'} FrameOfReferenceUID, and their positions share none"
        return Skipped(kind, "no_common_frame_of_reference", reason)
    return None


def planned(
    result: StudyResult, original: OriginalSeries, kinds: Sequence[Kind], predecessor: Dataset | None
) -> Iterator[Planned]:
    """Yield the objects of kinds that can be written; `predecessor` is the report of an earlier, different result."""
    makers: dict[Kind, Callable[[], Dataset]] = {
        Kind.SR: lambda: write_report(result, original, predecessor),
        Kind.KOS: lambda: write_selection(result, original),
        Kind.HEAT: lambda: write_heat(result, original),
        Kind.SEG: lambda: write_segmentation(result, original),
    }
    for kind in kinds:
        if kind is Kind.KEY_IMAGES:
            yield from _key_images(result, original)
        else:
            yield Planned(f"{kind}.dcm", object_uid(result, kind), makers[kind])


def _key_images(result: StudyResult, original: OriginalSeries) -> Iterator[Planned]:
    for number in range(1, len(result.key_images) + 1):
        make = partial(write_key_image, result, original, number)
        yield Planned(f"{Kind.KEY_IMAGES}-{number}.dcm", object_uid(result, Kind.KEY_IMAGES, number), make)
