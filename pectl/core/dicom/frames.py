"""The frames of an enhanced CT, each with a header as if it were a file of its own (PS3.3, A.38).

A file may hold one frame alone: as its writer chose, or as the last part of a concatenation.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from pectl.core.dicom.headers import SliceHeader, clean_label, finite
from pectl.core.dicom.tags import DEFLATED, quiet_pydicom
from pectl.core.dicom.vocabulary import type_words

if TYPE_CHECKING:
    from pydicom import Dataset

_SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
_TAGS = (_SHARED, _PER_FRAME, "ContrastBolusAgentSequence", "TransferSyntaxUID")
_GROUPS = {
    "position": ("PlanePositionSequence", "ImagePositionPatient"),
    "orientation": ("PlaneOrientationSequence", "ImageOrientationPatient"),
    "pixel_spacing_mm": ("PixelMeasuresSequence", "PixelSpacing"),
    "slice_thickness_mm": ("PixelMeasuresSequence", "SliceThickness"),
    "slope": ("PixelValueTransformationSequence", "RescaleSlope"),
    "intercept": ("PixelValueTransformationSequence", "RescaleIntercept"),
    "image_type": ("CTImageFrameTypeSequence", "FrameType"),
    "acquisition": ("FrameContentSequence", "FrameAcquisitionNumber"),
    "phase": ("FrameContentSequence", "TemporalPositionIndex"),
    "kernel": ("CTReconstructionSequence", "ConvolutionKernel"),
}
"""Where each attribute stands in the functional groups (PS3.3, C.7.6.16)."""


def expand_frames(file: BinaryIO, header: SliceHeader) -> tuple[SliceHeader, ...]:
    """Return a header per frame of a file with several frames, or with functional groups.

    A file whose frames have no position each is returned as it is, without a position: `multi_frame` to the choice of
    a series; of one frame it is returned as it is. No more frames are returned than the functional groups describe,
    whatever NumberOfFrames says.
    """
    unplaced = header._replace(position=header.position if header.frames == 1 else None)
    if header.transfer_syntax == DEFLATED:  # would have to be inflated as a whole
        return (unplaced,)
    import pydicom  # a second of imports that studies of one image a file needn't pay

    file.seek(0)
    with quiet_pydicom():
        try:
            dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS), force=True)
            frames = _frames(dataset, header)
        except Exception:  # noqa: BLE001 - damaged groups can break pydicom in many ways
            return (unplaced,)
    return frames or (unplaced,)


def _frames(dataset: "Dataset", header: SliceHeader) -> tuple[SliceHeader, ...]:
    from pydicom import Dataset

    alone = [Dataset()] if header.frames == 1 else []  # all that it says may be in the shared groups
    groups = dataset.get(_PER_FRAME) or alone
    if len(groups) != header.frames:
        return ()
    shared = (dataset.get(_SHARED) or [Dataset()])[0]
    contrast = header.contrast or bool(dataset.get("ContrastBolusAgentSequence"))
    common = header._replace(contrast=contrast)
    return tuple(_frame(common, group, shared, number) for number, group in enumerate(groups))


def _frame(header: SliceHeader, group: "Dataset", shared: "Dataset", number: int) -> SliceHeader:
    def value(name: str) -> Any:  # noqa: ANN401 - as pydicom has it
        sequence, keyword = _GROUPS[name]
        for item in (group.get(sequence) or shared.get(sequence) or ())[:1]:
            return item.get(keyword)
        return None

    found: dict[str, Any] = {
        "position": _numbers(value("position"), 3),
        "orientation": _numbers(value("orientation"), 6),
        "pixel_spacing_mm": _numbers(value("pixel_spacing_mm"), 2),
        "slice_thickness_mm": _number(value("slice_thickness_mm")),
        "slope": _number(value("slope")),
        "intercept": _number(value("intercept")),
    }
    if header.frames == 1:  # what stands beside the groups is the frame's too
        found = {name: one for name, one in found.items() if one is not None}
    return header._replace(
        **found,
        frame=number,
        image_type=type_words(_words(value("image_type"))) or header.image_type,
        acquisition=_acquisition(value) or header.acquisition,
        kernel=header.kernel or clean_label((_words(value("kernel")) or ("",))[0]),
    )


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:  # noqa: ANN401
    return None if value is None else finite(map(float, value), count)


def _number(value: Any) -> float | None:  # noqa: ANN401
    numbers = _numbers([value], 1) if value is not None else None
    return numbers[0] if numbers else None


def _words(value: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return a value of one or several words as words."""
    words = [value] if isinstance(value, str) else value or ()
    return tuple(str(word).strip().upper() for word in words)


def _acquisition(value: Callable[[str], Any]) -> str:
    parts = [value("acquisition"), value("phase")]
    return ".".join(str(part) for part in parts if part is not None)
