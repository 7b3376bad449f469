"""The original series: what its slices say of their place, and whose study it is.

highdicom sees slices without a patient: its remarks hold values, a patient's name among them. Whose study it is goes
into the finished objects, and nowhere else.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from pectl.core.dicom.headers import is_safe_uid
from pectl.core.dicom.tags import quiet_pydicom
from pectl.dicom_output.result import StudyResult
from pectl.dicom_output.uids import is_valid_uid
from pectl.errors import DicomOutputError

_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Must be there, and may be empty (PS3.3 C.7.1.1, C.7.2.1)."""
_WHOSE = (*_TYPE_2, "IssuerOfPatientID", "StudyDescription")
_PLACE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
_GEOMETRY = ("Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
"""In functional groups in enhanced CT, even if a file has one frame."""
_LOSSY_METHOD = r"ISO_[0-9]+_[0-9]+"
"""A term of PS3.3 C.7.6.1.1.5.1; other text stays behind."""
_UNDECODED = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class OriginalSeries:
    """The slices of the original series in the order of their positions.

    Attributes:
        paths: a file of each slice.
        slices: what each says of its place; whose it is, is empty.
        whose: attributes of patient and study, decoded, as the first slice has them.
    """

    paths: tuple[Path, ...]
    slices: tuple[Dataset, ...]
    whose: Dataset

    def index(self, sop_instance_uid: str) -> int:
        """Return the place of a slice."""
        return [str(item.SOPInstanceUID) for item in self.slices].index(sop_instance_uid)

    @property
    def frames_of_reference(self) -> set[str]:
        """Return the FrameOfReferenceUIDs; empty where there is none."""
        return {str(item.get("FrameOfReferenceUID", "")) for item in self.slices}

    def stamp(self, dataset: Dataset) -> None:
        """Write into a finished object whose study it belongs to."""
        with quiet_pydicom():
            dataset.SpecificCharacterSet = "ISO_IR 192"
            for element in self.whose:
                dataset.add(element)


def read_original(paths: Sequence[Path], result: StudyResult) -> OriginalSeries:
    """Read the headers of the series that a result is about; the pixels stay where they are.

    Raises:
        DicomOutputError: no file, a UID that isn't valid, another study or series, several frames in a file, a slice
            that is there twice or not at all, heat of another matrix, text that can't be decoded.
    """
    with quiet_pydicom():
        files = [(_read(path), path) for path in paths]
        for header, _ in files:
            _check_header(header, result)
        files.sort(key=lambda pair: _position(pair[0]))
        slices = tuple(_without_patient(header) for header, _ in files)
        _check_slices(slices, result)
        return OriginalSeries(tuple(path for _, path in files), slices, _whose(files[0][0], result))


def _read(path: Path) -> Dataset:
    wanted = [*_PLACE, *_WHOSE, "NumberOfFrames"]
    return pydicom.dcmread(path, specific_tags=list(wanted), stop_before_pixels=True)


def _check_header(header: Dataset, result: StudyResult) -> None:
    named = {"StudyInstanceUID": result.study_uid, "SeriesInstanceUID": result.series_uid}
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        uid = str(header.get(keyword, ""))
        if not is_valid_uid(uid):
            fix = "give the study as the PACS holds it; a copy with hashed UIDs has no place there"
            found = uid if is_safe_uid(uid) else "other text" if uid else "none"  # which could be a name
            raise _refused(result, f"a {keyword} of numbers and dots", found, fix)
        if uid != named.get(keyword, uid):
            raise _refused(result, f"{keyword} {named[keyword]}", uid, "give the files of the series that was judged")
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise _refused(result, "a file for each slice", "several frames in one file", "give single-frame CT")
    missing = [keyword for keyword in _GEOMETRY if keyword not in header]
    if missing:
        raise _refused(
            result, f"slices with {', '.join(_GEOMETRY)}", f"one without {missing[0]}", "give CT of that form"
        )


def _position(header: Dataset) -> float:
    """Return the position along the slice normal in mm."""
    orientation = np.asarray(header.ImageOrientationPatient, np.float64)
    normal = np.cross(orientation[:3], orientation[3:])
    return float(normal @ np.asarray(header.ImagePositionPatient, np.float64))


def _without_patient(header: Dataset) -> Dataset:
    """Return the place of a slice, with all that must be there of the patient left empty."""
    place = Dataset()
    place.Modality = "CT"
    for keyword in _TYPE_2:
        setattr(place, keyword, None)
    for keyword in _PLACE:
        if header.get(keyword) not in (None, ""):
            place.add(header[keyword])
    if not re.fullmatch(_LOSSY_METHOD, str(place.get("LossyImageCompressionMethod", ""))):
        place.pop("LossyImageCompressionMethod", None)
    return place


def _check_slices(slices: Sequence[Dataset], result: StudyResult) -> None:
    shapes = {str(item.SOPInstanceUID): (int(item.Rows), int(item.Columns)) for item in slices}
    if len(shapes) < len(slices):
        raise _refused(result, "a file for each slice", "a slice that has two", "take the copies away")
    missing = sorted({*result.key_images, *result.heat} - set(shapes))
    if missing or not slices:
        found = f"no file of {missing[0]}" if slices else "no file"
        raise _refused(result, "the slices of the result", found, "give all files of the series that was judged")
    for uid, heat in result.heat.items():
        if heat.shape != shapes[uid]:
            expected = f"heat of {shapes[uid][0]} x {shapes[uid][1]} pixels on slice {uid}"
            raise _refused(result, expected, " x ".join(map(str, heat.shape)), "map the heat to the original slices")


def _whose(header: Dataset, result: StudyResult) -> Dataset:
    """Return patient and study in characters that UTF-8 holds, whatever the file's character set."""
    whose = Dataset()
    for keyword in _WHOSE:
        value = header.get(keyword)
        if keyword in _TYPE_2 or value not in (None, ""):
            whose.add(DataElement(keyword, dictionary_VR(keyword), _decoded(value), validation_mode=IGNORE))
    undecoded = [element.keyword for element in whose if _UNDECODED in str(element.value)]
    if undecoded:
        found = f"bytes that aren't of it in {', '.join(undecoded)}"
        raise _refused(result, "text of the file's SpecificCharacterSet", found, "correct it at its source")
    return whose


def _decoded(value: object) -> object:
    if isinstance(value, PersonName):
        return str(value)
    return [str(item) for item in value] if isinstance(value, Iterable) and not isinstance(value, str) else value


def _refused(result: StudyResult, expected: str, found: str, fix: str) -> DicomOutputError:
    return DicomOutputError(where=f"study {result.study_uid}", expected=expected, found=found, fix=fix)
