"""The labels of RSPECT: their names, the competition's weights, and the rules they obey."""

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
