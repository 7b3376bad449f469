import pytest

from pectl.config import PhantomConfig


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prevalence": 0.9, "indeterminate_fraction": 0.2}, "indeterminate_fraction must be at most 1"),
        ({"chronic_share": 0.9, "acute_and_chronic_share": 0.2}, "acute_and_chronic_share must be at most 1"),
        ({"contrast_hu": (400.0, 300.0)}, "contrast_hu: lower 400.0 must not be above upper 300.0"),
        ({"kernels": ()}, "kernels and thickness_to_step need at least one value each"),
        ({"thickness_to_step": ()}, "kernels and thickness_to_step need at least one value each"),
        ({"emboli": (3, 1)}, "emboli: lower 3 must not be above upper 1"),
    ],
)
def test_what_cannot_be_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        PhantomConfig(**fields)
