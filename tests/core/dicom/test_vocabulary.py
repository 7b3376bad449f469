import pytest

from pectl.core.dicom.vocabulary import integer, modality, syntax_uid, type_words


def test_words_that_the_rules_know_stay_and_others_are_free_text():
    assert type_words(["original", " PRIMARY ", "AXIAL", "CT_SOM5 SPI", "Doe^Jane"]) == (
        "ORIGINAL",
        "PRIMARY",
        "AXIAL",
        "OTHER",
        "OTHER",
    )
    assert type_words(["DERIVED", "", "PROJECTION IMAGE", "MIP"]) == ("DERIVED", "PROJECTION IMAGE", "MIP")


def test_a_scout_hidden_in_a_word_is_found():
    assert type_words(["DERIVED", "TOPOGRAM_DOE"]) == ("DERIVED", "TOPOGRAM")


@pytest.mark.parametrize(
    ("text", "kept"), [("CT", "CT"), ("PT", "PT"), ("", ""), ("DOE JANE", "OTHER"), ("ct", "OTHER")]
)
def test_modality(text, kept):
    assert modality(text) == kept


@pytest.mark.parametrize(("text", "kept"), [("1.2.840.10008.1.2", "1.2.840.10008.1.2"), ("", ""), ("DOE", "OTHER")])
def test_transfer_syntax(text, kept):
    assert syntax_uid(text) == kept


@pytest.mark.parametrize(("text", "kept"), [("3", "3"), ("-12", "-12"), ("", ""), ("DOE", ""), ("1" * 13, "")])
def test_acquisition_number(text, kept):
    assert integer(text) == kept
