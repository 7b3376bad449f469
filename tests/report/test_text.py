import pytest

from pectl.report.text import estimate, interval, number, p_value, percent

DASH = "\N{EN DASH}"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (number(0.86349), "0.863"),
        (number(None), DASH),
        (interval([0.8, 0.9]), f"0.800{DASH}0.900"),
        (interval([-0.02, 0.01], digits=2), "-0.02 to 0.01"),
        (interval(None), DASH),
        (estimate(0.9, [0.8, 0.95], digits=2), f"0.90 (0.80{DASH}0.95)"),
        (estimate(None, None), DASH),
        (p_value(0.00009), "< 0.0001"),
        (p_value(0.03), "0.0300"),
        (p_value(None), DASH),
        (percent(0.856), "86 %"),
        (percent(None), DASH),
    ],
)
def test_how_numbers_are_written(written, expected):
    assert written == expected
