"""Every code that is written exists, and means what it is written for."""

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr._concepts_dict import concepts
from pydicom.sr.coding import Code

from pectl.core.labels.names import EXAM_LABELS, PE_PRESENT
from pectl.dicom_output import codes
from pectl.dicom_output.result import Call

DICTIONARY = {
    (scheme, value, meaning)
    for scheme, known in concepts.items()
    for entry in known.values()
    for value, (meaning, _) in entry.items()
}
"""What pydicom holds of PS3.16 and the schemes that it draws on."""
OURS = {value for value in vars(codes).values() if isinstance(value, Code)} | set(codes.QUALITY.values())


@pytest.mark.parametrize("code", sorted(OURS, key=str), ids=lambda code: f"{code.scheme_designator}-{code.value}")
def test_a_code_is_in_the_dictionary_or_our_own(code: Code) -> None:
    if code.scheme_designator == codes.SCHEME:
        assert len(code.value) <= 16  # SH
        assert len(code.meaning) <= 64  # LO
    else:
        assert (code.scheme_designator, code.value, code.meaning) in DICTIONARY


def test_every_label_and_decision_has_a_code() -> None:
    assert set(codes.FINDINGS) == {*EXAM_LABELS, PE_PRESENT}
    assert set(codes.CALLS) == set(Call)


def test_quality_codes_are_codes_of_the_intake() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "reference" / "codes.md").read_text()
    assert all(f"| `{flag}` |" in documented for flag in codes.QUALITY)


def test_codes_in_the_files_are_in_the_dictionary(written) -> None:
    found = {item for path in written.values() for item in _codes(pydicom.dcmread(path))}
    assert len(found) > 40
    ours = {(code.scheme_designator, code.value): code.meaning for code in OURS}
    for scheme, value, meaning in found:
        if scheme == codes.SCHEME:
            assert ours[scheme, value] == meaning
        elif scheme != "RFC5646":  # languages
            assert (scheme, value, meaning) in DICTIONARY


def _codes(dataset: Dataset) -> set[tuple[str, str, str]]:
    items = [item for element in dataset.iterall() if element.VR == "SQ" for item in element.value]
    return {(i.CodingSchemeDesignator, i.CodeValue, i.CodeMeaning) for i in items if "CodeValue" in i}
