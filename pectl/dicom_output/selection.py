"""A Key Object Selection: which original slices to look at."""

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset

from pectl.core.storage.stamp import RESEARCH_USE
from pectl.dicom_output import codes
from pectl.dicom_output.made_by import identifiers
from pectl.dicom_output.original import OriginalSeries
from pectl.dicom_output.result import Kind, StudyResult


def write_selection(result: StudyResult, original: OriginalSeries) -> Dataset:
    """Return the KOS that names the key slices of a result, so that a viewer shows them at their place."""
    slices = [original.slices[original.index(uid)] for uid in result.key_images]
    content = KeyObjectSelection(
        document_title=codes.OF_INTEREST,
        referenced_objects=slices,
        description=f"Slices that spoke most for pulmonary embolism, by {result.model.name}; {RESEARCH_USE}",
    )
    document = KeyObjectSelectionDocument(
        evidence=slices,
        content=content,
        specific_character_set="ISO_IR 192",
        **identifiers(result, Kind.KOS),
    )
    for item in document.ContentSequence:
        if item.ValueType == "IMAGE":
            del item.ConceptNameCodeSequence  # TID 2010 gives an image no purpose
    return document
