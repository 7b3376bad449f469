"""DICOM files with headers as varied as those of RSPECT."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from pectl.phantom.grid import Array, Grid

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How HU become stored numbers."""

    intercept: int
    signed: bool
    bits: int
    padding: int | None
    """Stored number outside the reconstructed circle."""


ENCODINGS = (
    Encoding(intercept=-1024, signed=False, bits=12, padding=None),
    Encoding(intercept=-1024, signed=True, bits=16, padding=-2000),
    Encoding(intercept=0, signed=True, bits=16, padding=-2000),
    Encoding(intercept=-1000, signed=False, bits=16, padding=None),
    Encoding(intercept=0, signed=True, bits=16, padding=None),
)

ORIENTATIONS = {
    "HFS": (1, 0, 0, 0, 1, 0),
    "FFS": (1, 0, 0, 0, 1, 0),
    "FFS mirrored": (-1, 0, 0, 0, 1, 0),
    "HFP": (-1, 0, 0, 0, -1, 0),
}


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the files of one series share."""

    study_uid: str
    series_uid: str
    sop_uids: tuple[str, ...]
    """By slice, canonical order."""
    patient_id: str
    encoding: Encoding
    orientation: str
    implicit_vr: bool
    kernel: str
    slice_thickness_mm: float
    instance_descends: bool
    """InstanceNumber falls with z."""
    many_windows: bool
    hashed_class: bool

    @classmethod
    def draw(cls, rng: np.random.Generator, grid: Grid, study_uid: str, kernel: str) -> "Header":
        """Draw the header of one series."""
        count = grid.shape[0]
        return cls(
            study_uid=study_uid, series_uid=rng.bytes(6).hex(), patient_id=rng.bytes(6).hex(),
            sop_uids=tuple(rng.bytes(6).hex() for _ in range(count)),
            encoding=ENCODINGS[int(rng.choice(len(ENCODINGS), p=(0.5, 0.15, 0.1, 0.15, 0.1)))],
            orientation=list(ORIENTATIONS)[int(rng.choice(4, p=(0.55, 0.2, 0.15, 0.1)))],
            implicit_vr=bool(rng.random() < 0.65), kernel=kernel,
            slice_thickness_mm=round(grid.spacing_mm[0] * rng.choice((0.625, 1.0, 1.25, 1.6)), 3),
            instance_descends=bool(rng.random() < 0.6), many_windows=bool(rng.random() < 0.4),
            hashed_class=bool(rng.random() < 0.5),
        )  # fmt: skip


def write_series(folder: Path, header: Header, grid: Grid, hu: Array) -> None:
    """Write slices hu (D, H, W), canonical orientation, as <SOPInstanceUID>.dcm into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = _stored(hu, header.encoding, grid)
    axes = np.array(ORIENTATIONS[header.orientation], dtype=float).reshape(2, 3)
    flips = tuple(slice(None, None, -1 if axes[axis, axis] < 0 else 1) for axis in (1, 0))
    with disable_value_validation():  # 12-hex ids aren't valid UIDs; RSPECT has them
        for index in range(len(stored)):
            dataset = _dataset(header, grid, index)
            dataset.ImagePositionPatient = _position(grid, index, axes)
            dataset.PixelData = np.ascontiguousarray(stored[index][flips]).tobytes()
            dataset.save_as(folder / f"{header.sop_uids[index]}.dcm", enforce_file_format=False)


def _stored(hu: Array, encoding: Encoding, grid: Grid) -> np.ndarray:
    low = -(2 ** (encoding.bits - 1)) if encoding.signed else 0
    values = np.clip(np.rint(hu) - encoding.intercept, low, low + 2**encoding.bits - 1)
    if encoding.padding is not None:
        _, height, width = grid.shape
        h, w = np.ogrid[:height, :width]
        outside = np.hypot(h - (height - 1) / 2, w - (width - 1) / 2) > width / 2
        values[:, outside] = encoding.padding
    return values.astype(np.int16 if encoding.signed else np.uint16)


def _position(grid: Grid, index: int, axes: np.ndarray) -> list[float]:
    corner = np.array([index, 0.0, 0.0, 1.0])
    corner[1] = grid.shape[1] - 1 if axes[1, 1] < 0 else 0
    corner[2] = grid.shape[2] - 1 if axes[0, 0] < 0 else 0
    return [round(float(value), 4) for value in (grid.affine @ corner)[:3]]


def _dataset(header: Header, grid: Grid, index: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = _file_meta(header, index)
    dataset.preamble = b"\x00" * 128
    dataset.SOPClassUID = (
        hashlib.sha256(b"class").hexdigest()[:12] if header.hashed_class else CT_IMAGE_STORAGE
    )
    dataset.SOPInstanceUID = header.sop_uids[index]
    dataset.Modality = "CT"
    dataset.PatientID = header.patient_id
    dataset.SliceThickness = header.slice_thickness_mm
    dataset.KVP = 120
    dataset.ConvolutionKernel = header.kernel
    dataset.PatientPosition = header.orientation.split()[0]
    dataset.StudyInstanceUID = header.study_uid
    dataset.SeriesInstanceUID = header.series_uid
    count = grid.shape[0]
    dataset.InstanceNumber = count - index if header.instance_descends else index + 1
    dataset.ImageOrientationPatient = list(ORIENTATIONS[header.orientation])
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = grid.shape[1:]
    dataset.PixelSpacing = [round(grid.spacing_mm[1], 6), round(grid.spacing_mm[2], 6)]
    encoding = header.encoding
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, encoding.bits, encoding.bits - 1
    dataset.PixelRepresentation = int(encoding.signed)
    dataset.WindowCenter = [100, -600] if header.many_windows else 50
    dataset.WindowWidth = [700, 1500] if header.many_windows else 350
    dataset.RescaleIntercept, dataset.RescaleSlope = encoding.intercept, 1
    return dataset


def _file_meta(header: Header, index: int) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0  # written anew with the file
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = CT_IMAGE_STORAGE
    # not the SOPInstanceUID of the data set: de-identified files are like that
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[header.series_uid, str(index)])
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if header.implicit_vr else ExplicitVRLittleEndian
    return meta
