"""Series that a user names: one UID for the only study, or a table; what is wrong with either is said."""

import pytest

from pectl.core.intake.choice.named_series import NamedSeries, read_named_series
from pectl.errors import InputMissingError


@pytest.fixture
def table(tmp_path):
    def table(text):
        (tmp_path / "series.csv").write_text(text)
        return str(tmp_path / "series.csv")

    return table


def test_nothing_named_leaves_the_choice_to_the_rules():
    assert read_named_series(None).of("1.2") == ""


def test_one_uid_is_for_the_only_study():
    named = read_named_series("1.2.9")
    assert named.of("1.2") == "1.2.9"
    assert named.absent(["1.2"]) == ()
    message = r"--series: expected one study, where a single series is named, found 2 studies; give a table with"
    with pytest.raises(InputMissingError, match=message):
        named.absent(["1.2", "1.3"])


def test_a_table_names_the_series_of_some_studies(table):
    named = read_named_series(table("SeriesInstanceUID,note,StudyInstanceUID\n1.9, x,1.2 \n1.9,y,1.2\n1.8,,1.4\n"))
    assert named == NamedSeries(by_study={"1.2": "1.9", "1.4": "1.8"})
    assert [named.of(uid) for uid in ("1.2", "1.3")] == ["1.9", ""]
    assert named.absent(["1.2", "1.3"]) == ("1.4",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("StudyInstanceUID,Series\n1,2\n", "found no column SeriesInstanceUID; name the columns so"),
        ("StudyInstanceUID,SeriesInstanceUID\n1,\n", "found '' among the UIDs; check the UIDs"),
        ("StudyInstanceUID,SeriesInstanceUID\n../1,2\n", r"found '\.\./1' among the UIDs"),
        ("StudyInstanceUID,SeriesInstanceUID\n1,2\n1,3\n", "found study 1 with two series; keep one of each study"),
    ],
)
def test_a_table_that_names_nothing_clearly_is_refused(table, text, message):
    with pytest.raises(InputMissingError, match=r"expected a table with StudyInstanceUID and SeriesInst.*" + message):
        read_named_series(table(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lost.csv", r"lost\.csv: expected a table with .* \(CSV\), found no such file"),
        ("1/2", r"--series: expected a SeriesInstanceUID, or a table .* found '1/2'; check the UID"),
    ],
)
def test_neither_a_table_nor_a_uid(text, message):
    with pytest.raises(InputMissingError, match=message):
        read_named_series(text)
