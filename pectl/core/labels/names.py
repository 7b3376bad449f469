"""The names of labels and of the columns that identify them, and the competition's weights."""

EXAM_LABELS = (
    "negative_exam_for_pe",
    "indeterminate",
    "chronic_pe",
    "acute_and_chronic_pe",
    "central_pe",
    "leftsided_pe",
    "rightsided_pe",
    "rv_lv_ratio_gte_1",
    "rv_lv_ratio_lt_1",
)
"""The nine exam labels, in the order used for every array with a label axis."""

PE_LABELS = ("leftsided_pe", "rightsided_pe", "central_pe", "chronic_pe", "acute_and_chronic_pe")
"""The exam labels that say of PE where it is and how old, which a window with PE can show."""

MULTITASK_LABELS = (*PE_LABELS, "rv_lv_ratio_gte_1")
"""The exam labels that stage 1 can be taught: those of PE by windows with PE, RV/LV by all of a study with PE."""

COMPETITION_WEIGHTS = {
    "negative_exam_for_pe": 0.0736196319,
    "indeterminate": 0.09202453988,
    "chronic_pe": 0.1042944785,
    "acute_and_chronic_pe": 0.1042944785,
    "central_pe": 0.1877300613,
    "leftsided_pe": 0.06257668712,
    "rightsided_pe": 0.06257668712,
    "rv_lv_ratio_gte_1": 0.2346625767,
    "rv_lv_ratio_lt_1": 0.0782208589,
}
"""Weight of each exam label in the competition's log loss (RSNA STR PE Detection, 2020)."""

IMAGE_WEIGHT = 0.07361963
"""Weight of one image, to be multiplied by its study's share of positive images."""

UNKNOWN = -1
"""A label that isn't known, in int8 label arrays."""

QA_LABELS = ("qa_motion", "qa_contrast", "flow_artifact", "true_filling_defect_not_pe")
"""Labels of image quality and confounders; of the study, like the exam labels."""

STUDY_LABELS = EXAM_LABELS + QA_LABELS

STUDY, IMAGE, IMAGE_LABEL = "StudyInstanceUID", "SOPInstanceUID", "pe_present_on_image"

NEGATIVE, INDETERMINATE = EXAM_LABELS[:2]

RV_LV = ("rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1")

PE_PRESENT = "pe_present"
"""Derived exam label: neither negative nor indeterminate."""

ALL_STUDIES = {f"{name}_all_studies": name for name in RV_LV}
"""RV/LV labels judged as the competition and the paper do: absent, not undefined, in studies without PE."""
