import pytest

from pectl.core.volumes.stated import parse_spacing, parse_values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x*1600-1000", (1600.0, -1000.0)),
        (" x * 1.6e3 + 2 ", (1600.0, 2.0)),
        ("x-1024", (1.0, -1024.0)),
        ("x/2", (0.5, 0.0)),
    ],
)
def test_formulas(text: str, expected: tuple[float, float]) -> None:
    assert parse_values(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "1600*x", "x*0", "x/0", "x**2", "x*1e99", "__import__('os')", "x*1600-1000;"]
)
def test_other_formulas(text: str) -> None:
    with pytest.raises(ValueError, match="expected a f"):
        parse_values(text)


def test_spacing() -> None:
    assert parse_spacing("1.25, 0.7,0.7") == (1.25, 0.7, 0.7)
    for text in ("1,1", "1,1,0", "1,1,99", "a,b,c", "1,1,1,1", "1,-1,1"):
        with pytest.raises(ValueError, match="expected Z,Y,X, three steps above 0 and up to 50 mm"):
            parse_spacing(text)
