import pytest

from pectl.core.dicom.vocabulary import content_of, integer, modality, syntax_uid, type_words, words_of


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
    "text",
    [
        "ORIGINAL\\PRIMARY\\AXIAL",
        "['ORIGINAL', 'PRIMARY', 'AXIAL']",
        '["ORIGINAL", "PRIMARY", "AXIAL"]',
        "[u'ORIGINAL', u'PRIMARY', u'AXIAL']",
        "[b'ORIGINAL', b'PRIMARY', b'AXIAL']",
        "('ORIGINAL', 'PRIMARY', 'AXIAL')",
        "ORIGINAL, PRIMARY,AXIAL\0",
        "ORIGINAL|PRIMARY|AXIAL",
    ],
)
def test_a_list_written_as_text_is_a_list(text):
    assert words_of(text) == ["ORIGINAL", "PRIMARY", "AXIAL"]


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("CT_SOM5 MIP", "MIP"),
        ("MIP THICK", "MIP"),
        ("THINMIP", "MIP"),
        ("MAX IP", "MIP"),
        ("CT_SOM5 MIN", "MINIP"),
        ("MINIP", "MINIP"),
        ("MPR THICK", "MPR"),
        ("CT_SOM7 MPR", "MPR"),
        ("CURVED_MPR", "MPR"),
        ("SLAB 10", "MPR"),
        ("CT_SOM5 AVE", "AVERAGE"),
        ("AVG", "AVERAGE"),
        ("VRT THICK", "VRT"),
        ("DE_VNC", "VNC"),
        ("MAT_REMOVED", "VNC"),
        ("CT_DE MONO+", "VMI"),
        ("VIRTUAL MONOENERGETIC", "VMI"),
        ("LUNG PBV", "PBV"),
        ("IODINE MAP", "IODINE"),
        ("EFF_ATOMIC_NUM", "Z_EFF"),
        ("ELECTRON DENSITY", "ELECTRON_DENSITY"),
        ("MAT_SPECIFIC", "MATERIAL"),
        ("CT_SOM5 SPI", "OTHER"),
        ("CT_SOM5 SEQ", "OTHER"),
        ("HELICAL", "OTHER"),
        ("MIXED", "MIXED"),
        ("AVENIO", "OTHER"),
        ("ADMINISTRATION", "OTHER"),
    ],
)
def test_a_known_word_inside_a_vendors_word_is_found(word, known):
    assert type_words([word]) == (known,)


@pytest.mark.parametrize(
    ("image_type", "rescale_type", "description", "content"),
    [
        ((), "", "", ""),
        (("ORIGINAL",), "HU", "CTPA 1.0 Br40", ""),
        (("ORIGINAL",), "US", "ED CT CHEST", ""),
        (("DERIVED",), "['HU']", "", ""),
        (("DERIVED", "VMI"), "HU", "", "VMI"),
        (("ORIGINAL",), "HU", "MonoE 55keV", "VMI"),
        (("DERIVED",), "HU", "Mono+ 40", "VMI"),
        (("DERIVED",), "HU_MOD", "", "VNC"),
        (("DERIVED",), "HU", "Virtual unenhanced", "VNC"),
        (("DERIVED",), "HU", "Lung PBV", "PBV"),
        (("DERIVED",), "MGML", "", "IODINE"),
        (("DERIVED", "VMI"), "MG/ML", "", "IODINE"),
        (("DERIVED",), "HU", "Iodine no water", "IODINE"),
        (("DERIVED",), "HU", "iodine contrast", ""),
        (("DERIVED",), "Z_EFF", "", "Z_EFF"),
        (("DERIVED",), "", "Z Effective", "Z_EFF"),
        (("DERIVED",), "EDW", "", "ELECTRON_DENSITY"),
        (("DERIVED",), "PCT", "", "MATERIAL"),
        (("DERIVED",), "Doe^Jane", "", "OTHER"),
    ],
)
def test_what_the_values_are(image_type, rescale_type, description, content):
    assert content_of(image_type, rescale_type, description) == content


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
