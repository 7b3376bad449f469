"""The coded concepts: standard ones, and 99PECTL where none says what is meant.

Code values and meanings are those of PS3.16 as pydicom 3.0 holds them; a test compares every one.
"""

from typing import NamedTuple

from pydicom.sr.coding import Code

SCHEME = "99PECTL"

IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
PERCENT = Code("%", "UCUM", "Percent")
NO_UNITS = Code("1", "UCUM", "no units")
PRESENCE = Code("121052", "DCM", "Presence of property")
PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("272519000", "SCT", "Absent")
UNDETERMINED = Code("373068000", "SCT", "Undetermined")
COMMENT = Code("121106", "DCM", "Comment")

PULMONARY_EMBOLISM = Code("59282003", "SCT", "Pulmonary embolism")
PULMONARY_ARTERY = Code("81040000", "SCT", "Pulmonary artery")
RIGHT_VENTRICLE = Code("53085002", "SCT", "Right ventricle")
LEFT_VENTRICLE = Code("87878005", "SCT", "Left ventricle")
LEFT = Code("7771000", "SCT", "Left")
RIGHT = Code("24028007", "SCT", "Right")
CENTRAL = Code("26216008", "SCT", "Central")
MODIFIER = Code("112023", "DCM", "Composite Feature Modifier")
CHRONIC = Code("90734009", "SCT", "Chronic")
ACUTE_ONSET = Code("385315009", "SCT", "Acute onset")

STUDY_QUALITY = Code("130549", "DCM", "Imaging Study Quality")
DIAGNOSTIC_QUALITY = Code("RID12", "RADLEX", "Diagnostic quality")
LIMITED_QUALITY = Code("RID13", "RADLEX", "Limited quality")
NON_DIAGNOSTIC_QUALITY = Code("RID14", "RADLEX", "Non-diagnostic quality")
QUALITY_FINDING = Code("111052", "DCM", "Quality Finding")

OF_INTEREST = Code("113000", "DCM", "Of Interest")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
CLASS_ACTIVATION = Code("130403", "DCM", "Gradient-weighted class activation")
SPATIAL_CONCEPT = Code("309825002", "SCT", "Spatial and Relational Concept")

NEGATIVE_EXAM = Code("NEGATIVEEXAM", SCHEME, "Negative exam for pulmonary embolism")
RV_LV_GTE_1 = Code("RVLVGTE1", SCHEME, "RV/LV diameter ratio of 1 or more, given pulmonary embolism")
RV_LV_LT_1 = Code("RVLVLT1", SCHEME, "RV/LV diameter ratio below 1, given pulmonary embolism")
OUT_OF_DISTRIBUTION = Code("OUTOFDISTR", SCHEME, "Study unlike those the model learnt from")
THICK_SLICES = Code("THICKSLICES", SCHEME, "Step between slices above 3 mm")
MISSING_SLICES = Code("MISSINGSLICES", SCHEME, "Missing slices filled by interpolation")
NO_LUNG_BOX = Code("NOLUNGBOX", SCHEME, "Lungs not found, whole body box judged")

CALLS = {"present": PRESENT, "absent": ABSENT, "undetermined": UNDETERMINED}
"""CID 240, by decision."""

QUALITY = {
    "no_contrast": Code("130580", "DCM", "Inadequate contrast enhancement"),
    "lungs_cut_off": Code("130576", "DCM", "Anatomy coverage incomplete"),
    "missing_slices": MISSING_SLICES,
    "thick_slices": THICK_SLICES,
    "lung_box_fallback": NO_LUNG_BOX,
}
"""Codes of the intake that tell of image quality; the others tell of files and labels and aren't written."""


class Site(NamedTuple):
    """Where a finding is: an anatomic location, its side, its topographical modifier."""

    location: Code
    laterality: Code | None = None
    modifier: Code | None = None


class Finding(NamedTuple):
    """How a label is coded: what is found, where, and its modifiers (CID 6130)."""

    type: Code
    sites: tuple[Site, ...] = ()
    modifiers: tuple[Code, ...] = ()


_PE = (PULMONARY_EMBOLISM, (Site(PULMONARY_ARTERY),))
_VENTRICLES = (Site(RIGHT_VENTRICLE), Site(LEFT_VENTRICLE))

FINDINGS = {
    "pe_present": Finding(*_PE),
    "negative_exam_for_pe": Finding(NEGATIVE_EXAM),
    "indeterminate": Finding(NON_DIAGNOSTIC_QUALITY),
    "chronic_pe": Finding(*_PE, (CHRONIC,)),
    "acute_and_chronic_pe": Finding(*_PE, (ACUTE_ONSET, CHRONIC)),
    "central_pe": Finding(PULMONARY_EMBOLISM, (Site(PULMONARY_ARTERY, None, CENTRAL),)),
    "leftsided_pe": Finding(PULMONARY_EMBOLISM, (Site(PULMONARY_ARTERY, LEFT),)),
    "rightsided_pe": Finding(PULMONARY_EMBOLISM, (Site(PULMONARY_ARTERY, RIGHT),)),
    "rv_lv_ratio_gte_1": Finding(RV_LV_GTE_1, _VENTRICLES),
    "rv_lv_ratio_lt_1": Finding(RV_LV_LT_1, _VENTRICLES),
}
"""The groups of a report, in its order, by label."""
