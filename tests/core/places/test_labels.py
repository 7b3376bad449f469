"""Labels from what is marked."""

import numpy as np
import pytest

from pectl.core.labels.names import INDETERMINATE, LEFT, NEGATIVE, RV_LV_LT_1
from pectl.core.places.labels import exam_labels, image_labels


@pytest.mark.parametrize(("complete", "nothing"), [(True, 0), (False, -1)])
def test_an_area_is_enough_or_nothing_or_unknown(complete, nothing):
    """Pixels of 0.4 mm2: ten are 4 mm2, which is enough; nine aren't."""
    numbers = np.zeros((4, 5, 5), np.uint16)
    for place, count in enumerate((0, 9, 10, 25)):
        numbers[place].ravel()[:count] = 3
    labels = image_labels(numbers, pixel_mm2=0.4, min_area_mm2=4.0, complete=complete)
    assert labels.tolist() == [nothing, -1, 1, 1]


def test_a_study_is_positive_negative_or_unknown():
    positive = exam_labels(np.array([-1, 1, 0], np.int8))
    assert (positive[NEGATIVE], positive[INDETERMINATE], positive[LEFT]) == (0, 0, None)
    negative = exam_labels(np.array([0, 0], np.int8))
    assert (negative[NEGATIVE], negative[INDETERMINATE], negative[LEFT], negative[RV_LV_LT_1]) == (1, 0, 0, None)
    for images in ([0, -1], [-1, -1]):
        assert set(exam_labels(np.array(images, np.int8)).values()) == {None}
