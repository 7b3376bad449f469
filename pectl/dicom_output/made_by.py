"""What every object says of itself: its UIDs, its series, and who made it for what use."""

from importlib.metadata import version
from typing import TypedDict

from pectl.core.storage.stamp import RESEARCH_USE
from pectl.dicom_output.result import HEATED, Kind, StudyResult
from pectl.dicom_output.uids import ROOT, derived_uid, heat_uid

MANUFACTURER = "pectl"
_FIRST_SERIES = 9400
"""SeriesNumber of the first kind, beyond those that scanners give; the others follow."""
_TITLES = {
    Kind.SR: "pectl report",
    Kind.KEY_IMAGES: "pectl key images",
    Kind.KOS: "pectl key slices",
    Kind.HEAT: "pectl heat",
    Kind.SEG: "pectl hot region",
}


class Identifiers(TypedDict):
    """Arguments that every constructor of highdicom takes."""

    series_instance_uid: str
    series_number: int
    sop_instance_uid: str
    instance_number: int
    manufacturer: str
    manufacturer_model_name: str
    software_versions: str
    device_serial_number: str
    series_description: str


def object_uid(result: StudyResult, kind: Kind, number: int = 1) -> str:
    """Return the SOPInstanceUID of the object of a kind, counted from 1."""
    return (heat_uid if kind in HEATED else derived_uid)(result, f"{kind} {number}")


def series_uid(result: StudyResult, kind: Kind) -> str:
    """Return the SeriesInstanceUID of the objects of a kind."""
    return derived_uid(result, f"{kind} series")


def identifiers(result: StudyResult, kind: Kind, number: int = 1) -> Identifiers:
    """Return UIDs, numbers and equipment of an object.

    The serial number of the device is the digest of the bundle.
    """
    return Identifiers(
        series_instance_uid=series_uid(result, kind),
        series_number=_FIRST_SERIES + list(Kind).index(kind),
        sop_instance_uid=object_uid(result, kind, number),
        instance_number=number,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=result.model.name,
        software_versions=f"pectl {version('pectl')}, model {result.model.version}",
        device_serial_number=result.model.digest,
        series_description=f"{_TITLES[kind]}, {RESEARCH_USE}",
    )


def is_made_here(*, manufacturer: str, sop_instance_uid: str) -> bool:
    """Tell whether an object is one that `identifiers` describes, of whatever result and model."""
    return manufacturer == MANUFACTURER and sop_instance_uid.startswith(f"{ROOT}.")
