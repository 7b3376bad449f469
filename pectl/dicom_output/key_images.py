"""Key images as Secondary Capture: an original slice with heat over it, and what it is for in its pixels."""

import cv2
import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pectl.core.dicom.headers import read_header
from pectl.core.dicom.pixels import check_pixel_header, read_hu
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.dicom_output import codes
from pectl.dicom_output.made_by import identifiers
from pectl.dicom_output.original import OriginalSeries
from pectl.dicom_output.result import Kind, StudyResult
from pectl.errors import DicomOutputError
from pectl.explanation.painting import ct_grey, paint

_SMALLEST_SIDE_PX = 512
"""Smaller slices are enlarged by a whole factor, so that the text can be read."""
_STRIP_PX = 64
"""Height of the black strip below the slice: text there hides no anatomy."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE = (255, 255, 255)
_OPPOSITE = str.maketrans("LRAPHF", "RLPAFH")

Picture = NDArray[np.uint8]


def write_key_image(result: StudyResult, original: OriginalSeries, number: int) -> Dataset:
    """Return the RGB image, uncompressed, of a key image of the result, counted from 1.

    Raises:
        DicomOutputError: the file of the slice holds no image.
        StudyRefusedError: its pixels can't be read.
    """
    uid = result.key_images[number - 1]
    index = original.index(uid)
    source = original.slices[index]
    row, column = patient_orientation(source)
    image = SCImage(
        pixel_array=_picture(result, original, index),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=(row, column),
        study_instance_uid=result.study_uid,
        specific_character_set="ISO_IR 192",
        **identifiers(result, Kind.KEY_IMAGES, number),
    )
    image.BurnedInAnnotation = "YES"
    image.BodyPartExamined = "CHEST"  # else Laterality is required (PS3.3 C.7.3.1)
    heat = f"{result.heat_method} heat as a share of {result.heat_scale}"
    image.DerivationDescription = f"CT at level 100 HU, width 700 HU, with {heat}; {RESEARCH_USE}"
    image.SourceImageSequence = [_reference(source)]
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in source:  # once lossy, always lossy
            image.add(source[keyword])
    return image


def _reference(source: Dataset) -> Dataset:
    item, purpose = Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = codes.SOURCE_IMAGE[:3]
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def patient_orientation(source: Dataset) -> tuple[str, str]:
    """Return where a row leads, and a column: L, R, A, P, H or F (PS3.3 C.7.6.1.1.1)."""
    orientation = np.asarray(source.ImageOrientationPatient, np.float64)
    return _letter(orientation[:3]), _letter(orientation[3:])


def _letter(direction: NDArray[np.float64]) -> str:
    axis = int(np.abs(direction).argmax())
    return ("LPH" if direction[axis] > 0 else "RAF")[axis]


def _picture(result: StudyResult, original: OriginalSeries, index: int) -> Picture:
    """Return (rows, columns, 3): the slice with heat and its sides named, and below it a strip of text."""
    source = original.slices[index]
    uid = str(source.SOPInstanceUID)
    hu = _read_slice(original, index, uid)
    heat = result.heat.get(uid, np.zeros(hu.shape, np.float32))
    colour = np.rint(paint(ct_grey(hu), np.asarray(heat, np.float32)) * 255).astype(np.uint8)
    factor = -(-_SMALLEST_SIDE_PX // min(hu.shape))
    size = (factor * hu.shape[1], factor * hu.shape[0])
    colour = np.asarray(cv2.resize(colour, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    _mark_sides(colour, *patient_orientation(source))
    return np.ascontiguousarray(np.vstack([colour, _strip(result, colour.shape[1], float(heat.max()))]))


def _read_slice(original: OriginalSeries, index: int, uid: str) -> NDArray[np.int16]:
    header = read_header(original.paths[index])
    if header is None:
        raise DicomOutputError(
            where=f"slice {uid}", expected="a CT image", found="no image", fix="give the files of the series"
        )
    check_pixel_header(header)
    hu = np.empty((header.rows, header.columns), np.int16)
    read_hu(header, hu)
    return hu


def _mark_sides(colour: Picture, row: str, column: str) -> None:
    height, width = colour.shape[:2]
    places = {
        row: (width - 28, height // 2),
        row.translate(_OPPOSITE): (8, height // 2),
        column: (width // 2, height - 10),
        column.translate(_OPPOSITE): (width // 2, 26),
    }
    for letter, place in places.items():
        cv2.putText(colour, letter, place, _FONT, 0.7, _WHITE, 2, cv2.LINE_AA)


def _strip(result: StudyResult, width: int, share: float) -> Picture:
    strip = np.zeros((_STRIP_PX, width, 3), np.uint8)
    answer = result.answers["pe_present"]
    heat = f"heat up to {share:.0%} of {result.heat_scale}" if share else "no heat"
    told = f"PE {answer.percent:.2f} % ({answer.call}), {heat}"
    _write(strip, RESEARCH_USE.upper(), 24)
    _write(strip, f"{told}; {result.model.name} {result.model.version}", 50)
    return strip


def _write(strip: Picture, text: str, baseline: int) -> None:
    """Write a line as large as fits; the font has ASCII only."""
    text = text.encode("ascii", "replace").decode()
    (wide, _), _ = cv2.getTextSize(text, _FONT, 0.6, 1)
    scale = min(0.6, 0.6 * (strip.shape[1] - 16) / wide)
    cv2.putText(strip, text, (8, baseline), _FONT, scale, _WHITE, 1, cv2.LINE_AA)
