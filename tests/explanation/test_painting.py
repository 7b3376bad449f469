import numpy as np

from pectl.explanation.painting import ct_grey, paint


def test_ct_grey_is_level_100_width_700() -> None:
    assert ct_grey(np.array([-300, -250, 100, 450, 900])).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_no_heat_leaves_the_ct_as_it_is() -> None:
    grey = np.array([[0.2, 0.8]], np.float32)
    assert paint(grey, np.array([[0.0, 0.05]], np.float32)).tolist() == np.repeat(grey[..., None], 3, -1).tolist()
    hot = paint(grey, np.array([[1.0, 1.0]], np.float32))[0, 0]
    assert hot[0] > hot[2] > 0.2
