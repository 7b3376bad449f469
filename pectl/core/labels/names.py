"""The names of labels and of the columns that identify them, each spelt once, and the competition's weights."""

STUDY, SERIES, IMAGE = "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"
"""Columns of tables: DICOM's own keywords."""

RELEASED_SPLIT, PROVENANCE, SUBGROUP = "released_split", "provenance", "subgroup"
"""Columns of a store's studies that a public set brings: its own split, the set a study comes from, the kind of PE."""

IMAGE_LABEL = "pe_present_on_image"
"""The label of one image."""

NEGATIVE, INDETERMINATE = "negative_exam_for_pe", "indeterminate"
CHRONIC, ACUTE_AND_CHRONIC = "chronic_pe", "acute_and_chronic_pe"
CENTRAL, LEFT, RIGHT = "central_pe", "leftsided_pe", "rightsided_pe"
RV_LV = RV_LV_GTE_1, RV_LV_LT_1 = "rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1"

EXAM_LABELS = (NEGATIVE, INDETERMINATE, CHRONIC, ACUTE_AND_CHRONIC, CENTRAL, LEFT, RIGHT, *RV_LV)
"""The nine exam labels, in the order used for every array with a label axis."""

AGE_LABELS = (CHRONIC, ACUTE_AND_CHRONIC)
"""The exam labels that say how old PE is; side by side in every order of labels."""

PE_LABELS = (LEFT, RIGHT, CENTRAL, *AGE_LABELS)
"""The exam labels that say of PE where it is and how old, which a window with PE can show."""

MULTITASK_LABELS = (*PE_LABELS, RV_LV_GTE_1)
"""The exam labels that stage 1 can be taught: those of PE by windows with PE, RV/LV by all of a study with PE."""

COMPETITION_WEIGHTS = {
    NEGATIVE: 0.0736196319,
    INDETERMINATE: 0.09202453988,
    CHRONIC: 0.1042944785,
    ACUTE_AND_CHRONIC: 0.1042944785,
    CENTRAL: 0.1877300613,
    LEFT: 0.06257668712,
    RIGHT: 0.06257668712,
    RV_LV_GTE_1: 0.2346625767,
    RV_LV_LT_1: 0.0782208589,
}
"""Weight of each exam label in the competition's log loss (RSNA STR PE Detection, 2020)."""

IMAGE_WEIGHT = 0.07361963
"""Weight of one image, to be multiplied by its study's share of positive images."""

UNKNOWN = -1
"""A label that isn't known, in int8 label arrays."""

QA_LABELS = ("qa_motion", "qa_contrast", "flow_artifact", "true_filling_defect_not_pe")
"""Labels of image quality and confounders; of the study, like the exam labels."""

STUDY_LABELS = EXAM_LABELS + QA_LABELS

PE_PRESENT = "pe_present"
"""Derived exam label: neither negative nor indeterminate."""

ALL_STUDIES = {f"{name}_all_studies": name for name in RV_LV}
"""RV/LV labels judged as the competition and the paper do: absent, not undefined, in studies without PE."""
