"""The series that reading and preprocessing are measured on: 300 slices of 512x512, in three transfer syntaxes."""

from pathlib import Path

import gdcm
import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    generate_uid,
)

SLICES, SIDE = 300, 512
PIXEL_MM, STEP_MM = 0.7, 1.0
SYNTAXES = {"uncompressed": ExplicitVRLittleEndian, "JPEG lossless": JPEGLosslessSV1, "JPEG 2000": JPEG2000Lossless}
_DIFFERENT = 12
"""Slices with noise of their own; the others repeat them, since encoding takes longer than what is measured."""


def write_series(root: Path, syntax: UID, *, every: int = 1) -> None:
    """Write a chest: a body of water, two lungs of air, a heart with contrast, noise of 15 HU.

    Args:
        root: folder of the files.
        syntax: how pixels are encoded.
        every: write each so-many-th slice alone.
    """
    root.mkdir(parents=True)
    drawn = [_pixel_data(stored, syntax, root / "template.dcm") for stored in drawn_slices()]
    study, series = generate_uid(), generate_uid()
    for place in range(0, SLICES, every):
        dataset = _dataset(syntax)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        corner = -PIXEL_MM * (SIDE - 1) / 2
        dataset.ImagePositionPatient = [corner, corner, STEP_MM * place]
        dataset.PixelData = drawn[place % _DIFFERENT]
        dataset["PixelData"].is_undefined_length = syntax.is_compressed
        dataset.save_as(root / f"{place}.dcm")


def drawn_slices() -> list[np.ndarray]:
    """Return a few slices (rows, columns) of stored numbers."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    hu = np.where((x / 0.9) ** 2 + (y / 0.65) ** 2 < 1, 40, -1000)
    for side in (-1, 1):
        hu[((x - side * 0.42) / 0.3) ** 2 + (y / 0.45) ** 2 < 1] = -850
    hu[(x / 0.15) ** 2 + ((y + 0.15) / 0.2) ** 2 < 1] = 350
    noisy = (hu + rng.normal(0, 15, hu.shape) + 1024 for _ in range(_DIFFERENT))
    return [np.clip(values, 0, 4095).astype("<u2") for values in noisy]


def _pixel_data(stored: np.ndarray, syntax: UID, template: Path) -> bytes:
    """Encode one slice; GDCM writes JPEG lossless, which no encoder of pydicom does."""
    dataset = _dataset(ExplicitVRLittleEndian)
    dataset.PixelData = stored.tobytes()
    if syntax == JPEG2000Lossless:
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    elif syntax == JPEGLosslessSV1:
        dataset.save_as(template)
        dataset = _encoded_by_gdcm(template)
        template.unlink()
    return bytes(dataset.PixelData)


def _encoded_by_gdcm(path: Path) -> pydicom.Dataset:
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.Write()
    encoded = pydicom.dcmread(path)
    if encoded.file_meta.TransferSyntaxUID != JPEGLosslessSV1:
        raise RuntimeError(f"GDCM wrote {encoded.file_meta.TransferSyntaxUID.name}")
    return encoded


def _dataset(syntax: UID) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "1.2.3", "1.2.3.4", "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Rows = dataset.Columns = SIDE
    dataset.PixelSpacing, dataset.SliceThickness = [PIXEL_MM, PIXEL_MM], STEP_MM
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0.0, 0.0, 0.0], [1, 0, 0, 0, 1, 0]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    return dataset
