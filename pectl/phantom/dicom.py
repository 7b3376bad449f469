"""DICOM files with headers as varied as those of RSPECT."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    generate_uid,
)

from pectl.config import PhantomConfig
from pectl.phantom.acquisition import Scanner
from pectl.phantom.dicom_bytes import PREFIX, Template, meta_bytes, pixel_bytes
from pectl.phantom.grid import Array, Grid

HASHED_CLASS = "f5c1d2b7a09e"
"""De-identification has replaced the SOPClassUID of some studies by a hash."""


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
_ENCODING_SHARES = (0.5, 0.15, 0.1, 0.15, 0.1)

ORIENTATIONS = (
    ("HFS", (1, 0, 0, 0, 1, 0), 0.5),
    ("FFS", (1, 0, 0, 0, 1, 0), 0.25),
    ("FFS", (-1, 0, 0, 0, 1, 0), 0.15),
    ("HFP", (-1, 0, 0, 0, -1, 0), 0.1),
)
"""PatientPosition, ImageOrientationPatient, share: as recumbent, mirrored, turned half round."""

IMAGE_TYPES = (
    ("['ORIGINAL', 'PRIMARY', 'AXIAL']", 0.5),
    ("ORIGINAL\\PRIMARY\\AXIAL", 0.2),
    ("ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI", 0.1),
    ("['ORIGINAL', 'PRIMARY', 'AXIAL', 'CT_SOM5 SPI']", 0.1),
    (None, 0.1),
)
"""ImageType and share; two of three RSPECT headers seen hold a list as text. None: the file lacks it."""

TRANSFER_SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "jpeg-ls": JPEGLSLossless,
}
_IMPLICIT_SHARE = 0.65
_OF_A_META, _OF_A_SLICE = ("MediaStorageSOPInstanceUID",), ("SOPInstanceUID", "InstanceNumber", "ImagePositionPatient")
"""What each file has its own of."""
Identity = Literal["hashed", "valid"]
_EMPTY = ("PatientBirthDate", "PatientSex", "ReferringPhysicianName", "AccessionNumber", "PositionReferenceIndicator")
"""Type 2 in CT Image Storage: there, without a value (PS3.3 A.3)."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the files of one series share."""

    study_uid: str
    series_uid: str
    patient_id: str
    sop_uids: tuple[str, ...]
    """By slice, bottom first."""
    instance_numbers: tuple[int, ...]
    """By slice, bottom first; up, down or in no order."""
    encoding: Encoding
    position: str
    orientation: tuple[int, ...]
    syntax: str
    """Key of TRANSFER_SYNTAXES."""
    kernel: str
    slice_thickness_mm: float
    many_windows: bool
    """WindowCenter and WindowWidth hold two values."""
    hashed_class: bool
    image_type: str | None
    identity: Identity

    @classmethod
    def draw(
        cls, rng: np.random.Generator, config: PhantomConfig, grid: Grid, scanner: Scanner, study_uid: str
    ) -> "Header":
        """Draw the header of one series."""
        count = grid.shape[0]
        way = int(rng.choice(len(ORIENTATIONS), p=[share for _, _, share in ORIENTATIONS]))
        syntax = "implicit" if rng.random() < _IMPLICIT_SHARE else "explicit"
        up = np.arange(1, count + 1)
        orders = (up, up[::-1], rng.permutation(up))
        beside = rng.spawn(1)[0]  # what is drawn from it leaves the other draws as they are
        return cls(
            study_uid=study_uid,
            series_uid=draw_id(rng, config.identity),
            patient_id=draw_id(rng, config.identity),
            sop_uids=tuple(draw_id(rng, config.identity) for _ in range(count)),
            instance_numbers=tuple(int(n) for n in orders[int(rng.choice(3, p=(0.35, 0.5, 0.15)))]),
            encoding=ENCODINGS[int(rng.choice(len(ENCODINGS), p=_ENCODING_SHARES))],
            position=ORIENTATIONS[way][0],
            orientation=ORIENTATIONS[way][1],
            syntax="jpeg-ls" if rng.random() < config.compressed_fraction else syntax,
            kernel=scanner.kernel,
            slice_thickness_mm=round(grid.spacing_mm[0] * scanner.thickness_to_step, 3),
            many_windows=bool(rng.random() < 0.4),
            hashed_class=bool(rng.random() < 0.5) and config.identity == "hashed",
            image_type=IMAGE_TYPES[int(beside.choice(len(IMAGE_TYPES), p=[share for _, share in IMAGE_TYPES]))][0],
            identity=config.identity,
        )


def draw_id(rng: np.random.Generator, identity: Identity) -> str:
    """Draw an identifier: 12 hex digits as RSPECT has them, or a UID of the same number (PS3.5 B.2)."""
    digits = rng.bytes(6).hex()
    return digits if identity == "hashed" else f"2.25.{int(digits, 16)}"


def write_series(folder: Path, header: Header, grid: Grid, hu: Array) -> None:
    """Write slices hu (D, H, W), canonical orientation, as <SOPInstanceUID>.dcm into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = _stored(hu, header.encoding)
    flips = (slice(None, None, header.orientation[4]), slice(None, None, header.orientation[0]))
    with disable_value_validation():  # 12-hex ids aren't valid UIDs, and pydicom would warn once for each
        dataset, implicit = _dataset(header, grid), header.syntax == "implicit"
        metas = Template.of(_file_meta(header), _OF_A_META, implicit=False)
        files = Template.of(dataset, _OF_A_SLICE, implicit=implicit)
        for index, image in enumerate(stored):
            meta = meta_bytes(metas.filled({"MediaStorageSOPInstanceUID": _media_uid(header, index)}))
            elements = files.filled(_values(header, grid, index))
            pixels = _pixel_data(np.ascontiguousarray(image[flips]), dataset, header)
            (folder / f"{header.sop_uids[index]}.dcm").write_bytes(b"".join([PREFIX, meta, elements, pixels]))


def _stored(hu: Array, encoding: Encoding) -> np.ndarray:
    """Return stored numbers of slices (D, H, W) of whole HU."""
    low = -(2 ** (encoding.bits - 1)) if encoding.signed else 0
    values = np.clip(hu.astype(np.int32) - encoding.intercept, low, low + 2**encoding.bits - 1)
    if encoding.padding is not None:
        _, height, width = hu.shape
        h, w = np.ogrid[:height, :width]
        outside = np.hypot(h - (height - 1) / 2, w - (width - 1) / 2) > width / 2
        values[:, outside] = encoding.padding
    return values.astype(np.int16 if encoding.signed else np.uint16)


def _pixel_data(image: np.ndarray, dataset: Dataset, header: Header) -> bytes:
    """Return the element of one slice's pixels (rows, columns)."""
    pixels, compressed = image.tobytes(), header.syntax == "jpeg-ls"
    if compressed:
        dataset.PixelData, dataset.file_meta = pixels, FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian  # compress() goes on from there
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        pixels = dataset.PixelData
    return pixel_bytes(pixels, implicit=header.syntax == "implicit", compressed=compressed)


def _values(header: Header, grid: Grid, index: int) -> dict[str, str]:
    """Return what only one slice has."""
    return {
        "SOPInstanceUID": header.sop_uids[index],
        "InstanceNumber": str(header.instance_numbers[index]),
        "ImagePositionPatient": "\\".join(map(str, _first_pixel(header, grid, index))),
    }


def _dataset(header: Header, grid: Grid) -> Dataset:
    """Return what all slices of a series share; Manufacturer is absent, as in RSPECT."""
    dataset = Dataset()
    if header.image_type is not None:
        dataset.ImageType = header.image_type
    dataset.SOPClassUID = HASHED_CLASS if header.hashed_class else CTImageStorage
    dataset.Modality = "CT"
    dataset.PatientID = header.patient_id
    dataset.SliceThickness = header.slice_thickness_mm
    dataset.KVP = 120
    dataset.ConvolutionKernel = header.kernel
    dataset.PatientPosition = header.position
    dataset.StudyInstanceUID = header.study_uid
    dataset.SeriesInstanceUID = header.series_uid
    dataset.ImageOrientationPatient = list(header.orientation)
    _describe_pixels(dataset, header, grid)
    if header.identity == "valid":
        _complete(dataset, header)
    return dataset


def _complete(dataset: Dataset, header: Header) -> None:
    """Add what a PACS asks for and RSPECT lacks."""
    for keyword in (*_EMPTY, "Manufacturer"):
        setattr(dataset, keyword, "")
    dataset.PatientName = f"Phantom^{header.patient_id[-6:]}"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20200101", "120000", "1"
    dataset.SeriesNumber = dataset.AcquisitionNumber = 1
    dataset.FrameOfReferenceUID = f"{header.series_uid}.1"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.BodyPartExamined = "CHEST"


def _describe_pixels(dataset: Dataset, header: Header, grid: Grid) -> None:
    encoding = header.encoding
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = grid.shape[1:]
    dataset.PixelSpacing = [round(step, 6) for step in grid.spacing_mm[1:]]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, encoding.bits, encoding.bits - 1
    dataset.PixelRepresentation = int(encoding.signed)
    if encoding.padding is not None:
        dataset.PixelPaddingValue = encoding.padding
    dataset.WindowCenter = [100, -600] if header.many_windows else 50
    dataset.WindowWidth = [700, 1500] if header.many_windows else 350
    dataset.RescaleIntercept, dataset.RescaleSlope = encoding.intercept, 1


def _first_pixel(header: Header, grid: Grid, index: int) -> list[float]:
    """Return ImagePositionPatient: where the first stored pixel lies once rows and columns are flipped."""
    corner = np.array(
        [
            index,
            grid.shape[1] - 1 if header.orientation[4] < 0 else 0,
            grid.shape[2] - 1 if header.orientation[0] < 0 else 0,
            1,
        ]
    )
    return [round(float(value), 4) for value in (grid.affine @ corner)[:3]]


def _file_meta(header: Header) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = TRANSFER_SYNTAXES[header.syntax]
    if header.identity == "valid":
        meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    return meta


def _media_uid(header: Header, index: int) -> str:
    """Return MediaStorageSOPInstanceUID: not the SOPInstanceUID of the data set in RSPECT's de-identified files."""
    if header.identity == "valid":
        return header.sop_uids[index]
    return generate_uid(entropy_srcs=[header.series_uid, str(index)])
