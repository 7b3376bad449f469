"""The result as a Comprehensive 3D SR by TID 1500: one group of answers for each label, image quality, novelty."""

from collections.abc import Iterator, Sequence

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code

from pectl.core.storage.stamp import RESEARCH_USE
from pectl.dicom_output import codes
from pectl.dicom_output.made_by import identifiers
from pectl.dicom_output.original import OriginalSeries
from pectl.dicom_output.result import Answer, Call, Kind, StudyResult
from pectl.dicom_output.uids import derived_uid

QUALITY, NOVELTY = "image_quality", "out_of_distribution"
"""Tracking identifiers of the two groups that are of no label."""

Group = MeasurementsAndQualitativeEvaluations


def write_report(result: StudyResult, original: OriginalSeries, predecessor: Dataset | None) -> Dataset:
    """Return the SR, with every slice of the series as its evidence.

    Args:
        result: of the study.
        original: the series it is about.
        predecessor: the SR of an earlier, different result.
    """
    return Comprehensive3DSR(
        evidence=original.slices,
        content=_content(result, original),
        is_complete=True,
        is_final=False,
        previous_versions=None if predecessor is None else [predecessor],
        coding_schemes=[_scheme()],
        specific_character_set="ISO_IR 192",
        **identifiers(result, Kind.SR),
    )


def _content(result: StudyResult, original: OriginalSeries) -> MeasurementReport:
    device = DeviceObserverIdentifyingAttributes(
        uid=derived_uid(result, "device"),
        name=result.model.name,
        manufacturer_name="pectl",
        model_name=result.model.version,
        serial_number=result.model.digest,
    )
    observer = ObserverContext(observer_type=dictionary.DCM.Device, observer_identifying_attributes=device)
    groups = (*_label_groups(result, original), _quality_group(result), _novelty_group(result))
    return MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=codes.IMAGING_PROCEDURE,
        imaging_measurements=groups,
    )


def _label_groups(result: StudyResult, original: OriginalSeries) -> Iterator[Group]:
    """Yield a group for each answer; that of PE names the key images as its source."""
    shown = [original.slices[original.index(uid)] for uid in result.key_images]
    for label, finding in codes.FINDINGS.items():
        if label in result.answers:
            images = shown if label == "pe_present" else []
            yield _label_group(result, label, finding, images)


def _label_group(result: StudyResult, label: str, finding: codes.Finding, images: Sequence[Dataset]) -> Group:
    answer = result.answers[label]
    return Group(
        tracking_identifier=_tracking(result, label),
        finding_type=finding.type,
        finding_sites=[FindingSite(*site) for site in finding.sites],
        algorithm_id=_algorithm(result),
        measurements=[_certainty(answer)],
        qualitative_evaluations=[
            QualitativeEvaluation(codes.PRESENCE, codes.CALLS[answer.call]),
            *(QualitativeEvaluation(codes.MODIFIER, modifier) for modifier in finding.modifiers),
        ],
        source_images=[SourceImageForMeasurementGroup.from_source_image(image) for image in images],
    )


def _certainty(answer: Answer) -> Measurement:
    return Measurement(name=codes.CERTAINTY, value=answer.percent, unit=codes.PERCENT)


def _quality_group(result: StudyResult) -> Group:
    found = [codes.QUALITY[flag] for flag in result.flags if flag in codes.QUALITY]
    return Group(
        tracking_identifier=_tracking(result, QUALITY),
        finding_type=codes.STUDY_QUALITY,
        algorithm_id=_algorithm(result),
        qualitative_evaluations=[
            QualitativeEvaluation(codes.STUDY_QUALITY, _quality(result, found)),
            *(QualitativeEvaluation(codes.QUALITY_FINDING, code) for code in found),
        ],
    )


def _quality(result: StudyResult, found: Sequence[Code]) -> Code:
    """Return the worst that holds: the model calls the exam indeterminate, the intake found a flaw, or neither."""
    indeterminate = result.answers.get("indeterminate")
    if indeterminate is not None and indeterminate.call is Call.PRESENT:
        return codes.NON_DIAGNOSTIC_QUALITY
    return codes.LIMITED_QUALITY if found else codes.DIAGNOSTIC_QUALITY


def _novelty_group(result: StudyResult) -> Group:
    reason = result.out_of_distribution
    group = Group(
        tracking_identifier=_tracking(result, NOVELTY),
        finding_type=codes.OUT_OF_DISTRIBUTION,
        algorithm_id=_algorithm(result),
        qualitative_evaluations=[QualitativeEvaluation(codes.PRESENCE, codes.PRESENT if reason else codes.ABSENT)],
    )
    for comment in filter(None, (reason, result.seen)):
        group[0].ContentSequence.append(TextContentItem(codes.COMMENT, comment, RelationshipTypeValues.CONTAINS))
    return group


def _tracking(result: StudyResult, name: str) -> TrackingIdentifier:
    return TrackingIdentifier(uid=derived_uid(result, f"tracking {name}"), identifier=name)


def _algorithm(result: StudyResult) -> AlgorithmIdentification:
    return AlgorithmIdentification(
        name=result.model.name,
        version=result.model.version,
        parameters=[f"SHA-256 of the bundle: {result.model.digest}", RESEARCH_USE],
        family=codes.ARTIFICIAL_INTELLIGENCE,
    )


def _scheme() -> CodingSchemeIdentificationItem:
    return CodingSchemeIdentificationItem(codes.SCHEME, name="Codes of pectl", responsible_organization="pectl")
