"""Heat on the original slices: as a Parametric Map, and where it is high as a binary segmentation."""

from collections.abc import Sequence

import numpy as np
from highdicom import AlgorithmIdentificationSequence, VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pectl.core.storage.stamp import RESEARCH_USE
from pectl.dicom_output import codes
from pectl.dicom_output.made_by import identifiers
from pectl.dicom_output.original import OriginalSeries
from pectl.dicom_output.result import STEPS, Kind, StudyResult
from pectl.dicom_output.uids import heat_uid
from pectl.explanation.painting import SMALLEST_SHARE

HOT_SHARE = 0.5
"""Of the scale of heat; what is as hot or hotter is segmented."""


def hot_slices(result: StudyResult, original: OriginalSeries, share: float) -> list[Dataset]:
    """Return the slices that hold heat of `share` of the scale or more, in the order of their positions."""
    hot = {uid for uid, heat in result.heat.items() if heat.max() >= share}
    return [item for item in original.slices if str(item.SOPInstanceUID) in hot]


def write_heat(result: StudyResult, original: OriginalSeries) -> Dataset:
    """Return the Parametric Map of the slices whose heat is painted: a frame each, 65535 is all of the scale."""
    slices = hot_slices(result, original, SMALLEST_SHARE)
    image = ParametricMap(
        source_images=slices,
        pixel_array=_frames(result, slices),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping(result)],
        voi_lut_transformations=[VOILUTTransformation(window_center=STEPS / 2, window_width=STEPS)],
        content_label="HEAT",
        content_description=RESEARCH_USE,
        specific_character_set="ISO_IR 192",
        **identifiers(result, Kind.HEAT),
    )
    image.BodyPartExamined = "CHEST"  # else Laterality is required (PS3.3 C.7.3.1)
    return image


def write_segmentation(result: StudyResult, original: OriginalSeries) -> Dataset:
    """Return the binary segmentation of heat of `HOT_SHARE` of the scale or more.

    It is of class activation, not of an embolus: the model knows no outline.
    """
    slices = hot_slices(result, original, HOT_SHARE)
    hot = _frames(result, slices) >= round(HOT_SHARE * STEPS)
    image = Segmentation(
        source_images=slices,
        pixel_array=hot.astype(np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(result)],
        content_label="HEAT",
        content_description=RESEARCH_USE,
        specific_character_set="ISO_IR 192",
        **identifiers(result, Kind.SEG),
    )
    image.BodyPartExamined = "CHEST"
    return image


def _frames(result: StudyResult, slices: Sequence[Dataset]) -> NDArray[np.uint16]:
    """Return (slices, rows, columns)."""
    return np.stack([result.heat_steps(str(item.SOPInstanceUID)) for item in slices])


def _mapping(result: StudyResult) -> RealWorldValueMapping:
    return RealWorldValueMapping(
        lut_label="HEAT",
        lut_explanation=f"{result.heat_method} heat as a share of {result.heat_scale}",
        unit=codes.NO_UNITS,
        value_range=(0, STEPS),
        slope=1 / STEPS,
        intercept=0.0,
        quantity_definition=codes.CLASS_ACTIVATION,
    )


def _segment(result: StudyResult) -> SegmentDescription:
    label = f"{result.heat_method} heat of {HOT_SHARE:.0%} of {result.heat_scale} or more"
    algorithm = AlgorithmIdentificationSequence(
        name=result.model.name,
        family=codes.ARTIFICIAL_INTELLIGENCE,
        version=result.model.version,
        source="pectl",
        parameters={"bundle_sha256": result.model.digest},
    )
    return SegmentDescription(
        segment_number=1,
        segment_label=label,
        segmented_property_category=codes.SPATIAL_CONCEPT,
        segmented_property_type=codes.CLASS_ACTIVATION,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_id="heat",
        tracking_uid=heat_uid(result, "tracking heat"),
    )
