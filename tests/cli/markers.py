"""Marked DICOM files, and a search for the marks in whatever a program writes."""

import base64
import gzip
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pydicom
from pydicom.config import disable_value_validation
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

MARK = "ZQXJWVKQ"
"""Part of every text that is planted; what can't hold letters has the marks below."""
DATE, TIME, MOMENT, AGE, UID = "19031127", "031127.427193", "19031127031127.427193", "097Y", "1.2.999.4271937.19031127"
MARKS = tuple(text.encode() for text in (DATE, TIME, UID))
_VALUES = {"DA": DATE, "TM": TIME, "DT": MOMENT, "AS": AGE, "UI": UID, "IS": "427193719", "DS": "4271.93719"}
_TEXT = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
KEPT = {
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "ConvolutionKernel",
    "Manufacturer",
}
"""What may leave a file by design: UIDs name studies and images, kernel and manufacturer describe the scanner."""
_NEEDED = {
    "SOPClassUID",
    "Modality",
    "PatientPosition",
    "PhotometricInterpretation",
    "ImageType",
    "SpecificCharacterSet",
    "SliceThickness",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "RescaleSlope",
    "RescaleIntercept",
    "AcquisitionNumber",
    "InstanceNumber",
    "NumberOfFrames",
    "KVP",
    "FrameOfReferenceUID",
    "WindowCenter",
    "WindowWidth",
    "LossyImageCompression",
}
_EVERYDAY = (
    "PatientName",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientAge",
    "OtherPatientIDs",
    "PatientAddress",
    "PatientComments",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDateTime",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "InstitutionName",
    "InstitutionAddress",
    "ReferringPhysicianName",
    "OperatorsName",
    "StationName",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "ImageComments",
    "DeviceSerialNumber",
    "BodyPartExamined",
    "ContrastBolusAgent",
    "RequestedProcedureDescription",
    "FrameOfReferenceUID",
)


def mark_file(source: Path, target: Path, patient: str, *, everything: bool) -> None:
    """Copy a DICOM file with marks in all that may identify someone; `everything`: in every attribute there is."""
    with disable_value_validation():  # of one's own ids of 12 hexadecimal digits, and of the marks
        dataset = pydicom.dcmread(source)
        _mark(dataset, patient, everything=everything)
        target.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(target, enforce_file_format=False)


def _mark(dataset: Dataset, patient: str, *, everything: bool) -> None:
    names = [entry[4] for entry in DicomDictionary.values() if entry[4]] if everything else _EVERYDAY
    for name in names:
        if name not in KEPT | _NEEDED and (everything or name in _EVERYDAY):
            _plant(dataset, name)
    dataset.PatientID = f"{MARK}-{patient}"
    dataset.FrameOfReferenceUID = UID
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", f"{MARK}"]
    _mark_nested(dataset)
    _mark_private(dataset)
    _mark_overlay(dataset)
    dataset.preamble = (MARK * 16).encode()
    dataset.file_meta.ImplementationVersionName = MARK
    dataset.file_meta.SourceApplicationEntityTitle = f"{MARK}AE"
    dataset.file_meta.PrivateInformationCreatorUID = UID
    dataset.file_meta.PrivateInformation = MARK.encode() * 4
    dataset.DataSetTrailingPadding = MARK.encode() * 8


def _plant(dataset: Dataset, name: str) -> None:
    vr = pydicom.datadict.dictionary_VR(name)
    if pydicom.datadict.tag_for_keyword(name) < 0x00080000 or name in dataset:
        return
    if vr in _TEXT:
        setattr(dataset, name, f"{MARK} {name}"[:16])
    elif vr in _VALUES and vr not in ("IS", "DS"):
        setattr(dataset, name, _VALUES[vr])


def _mark_nested(dataset: Dataset) -> None:
    inner, outer = Dataset(), Dataset()
    inner.PatientName = inner.CodeMeaning = inner.TextValue = f"{MARK}^inner"
    inner.ReferencedSOPInstanceUID, inner.StudyDate = UID, DATE
    outer.ModifiedAttributesSequence = Sequence([inner])
    outer.ModifyingSystem, outer.AttributeModificationDateTime = f"{MARK} system", MOMENT
    dataset.OriginalAttributesSequence = Sequence([outer])
    dataset.RequestAttributesSequence = Sequence([inner, inner])


def _mark_private(dataset: Dataset) -> None:
    block = dataset.private_block(0x0011, f"{MARK} CREATOR", create=True)
    block.add_new(0x01, "LO", f"{MARK} private")
    block.add_new(0x02, "OB", MARK.encode() * 16)
    block.add_new(0x03, "UN", MARK.encode() * 16)


def _mark_overlay(dataset: Dataset) -> None:
    dataset.add_new(0x60000010, "US", 16)
    dataset.add_new(0x60000011, "US", 16)
    dataset.add_new(0x60000022, "LO", f"{MARK} overlay")
    dataset.add_new(0x60001500, "LO", f"{MARK} label")
    dataset.add_new(0x60003000, "OW", MARK.encode() * 8)


def marks_in(data: bytes) -> list[str]:
    """Return the marks in some bytes, as ASCII of either case, UTF-16, hexadecimal or base64."""
    lowered = data.lower()
    found = []
    for mark in (MARK.encode(), *MARKS):
        shapes = {mark.lower(), mark.decode().encode("utf-16-le").lower(), mark.hex().encode()}
        found += [mark.decode() for shape in shapes if shape in lowered]
        if len(mark) > 6:
            cores = (base64.b64encode(b"\0" * shift + mark)[shift + 1 : -4] for shift in range(3))
            found += [mark.decode() for core in cores if core in data]
    return found


def layers(data: bytes) -> Iterator[bytes]:
    """Yield the bytes and whatever is packed inside them: gzip, zlib, zip, PNG, HDF5, base64 in pages."""
    yield data
    unpack = next((unpack for magic, unpack in _PACKED.items() if data.startswith(magic)), _base64_parts)
    for part in unpack(data):
        yield from layers(part)


def _gzip_parts(data: bytes) -> Iterator[bytes]:
    yield gzip.decompress(data)


def _zlib_parts(data: bytes) -> Iterator[bytes]:
    with suppress(zlib.error):
        yield zlib.decompress(data)


def _zip_parts(data: bytes) -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            yield name.encode()
            yield archive.read(name)


def _png_parts(data: bytes) -> Iterator[bytes]:
    where = 8
    while where < len(data):
        (length,) = struct.unpack(">I", data[where : where + 4])
        kind, body = data[where + 4 : where + 8], data[where + 8 : where + 8 + length]
        if kind != b"IDAT":  # pixels; text chunks may be packed
            yield body
            yield body[body.find(b"\0") + 2 :]
        where += 12 + length


def _base64_parts(data: bytes) -> Iterator[bytes]:
    for packed in re.findall(rb"[A-Za-z0-9+/]{64,}={0,2}", data):
        yield base64.b64decode(packed[: len(packed) // 4 * 4])


def _hdf5_parts(data: bytes) -> Iterator[bytes]:
    parts: list[bytes] = []

    def take(name: str, item: h5py.Group | h5py.Dataset) -> None:
        parts.append(name.encode())
        parts.extend(str(pair).encode() for pair in item.attrs.items())
        if isinstance(item, h5py.Dataset):
            values = item[()]
            parts.append(
                repr(values.tolist()).encode() if np.asarray(values).dtype == object else np.asarray(values).tobytes()
            )

    with h5py.File(io.BytesIO(data), "r") as file:
        take("/", file)
        file.visititems(take)
    yield from parts


_PACKED = {
    b"\x1f\x8b": _gzip_parts,
    b"x\x9c": _zlib_parts,
    b"x\xda": _zlib_parts,
    b"PK\x03\x04": _zip_parts,
    b"\x89PNG\r\n\x1a\n": _png_parts,
    b"\x89HDF\r\n\x1a\n": _hdf5_parts,
}
"""How what begins so is unpacked."""


def marked_outputs(folder: Path) -> dict[str, list[str]]:
    """Return the marks in names and contents of all files below a folder, by path."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        marks = marks_in(name.encode())
        if path.is_file():
            marks += [mark for layer in layers(path.read_bytes()) for mark in marks_in(layer)]
        if marks:
            found[name] = marks
    return found
