"""The stable codes: all documented, all used, none misspelt."""

import re
from pathlib import Path

import pytest

from pectl.core.intake.findings import CODES, Finding

ROOT = Path(__file__).parents[3]


def documented():
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| (.+) \|$", (ROOT / "docs" / "reference" / "codes.md").read_text(), re.MULTILINE
    )
    return {code: (level, meaning) for code, level, meaning in rows}


def test_the_documentation_is_the_table():
    assert documented() == CODES


def test_every_code_is_used_and_every_code_used_is_known():
    sources = [path for path in (ROOT / "pectl").rglob("*.py") if path.name != "findings.py"]
    text = "\n".join(path.read_text() for path in sources)
    unused = [code for code in CODES if f'"{code}"' not in text]
    assert unused == []
    raised = re.findall(
        r"(?:Finding|StudyRefusedError|refused|_refused|_bad_uid|_damaged)\(\s*(?:header, )?\"(\w+)\",", text
    )
    assert len(raised) > 20
    assert set(raised) <= set(CODES)


def test_a_finding_knows_its_level():
    assert Finding("padding", "3 of 40 slices").level == "repair"


def test_an_unknown_code_has_no_level():
    with pytest.raises(KeyError, match="nonsense"):
        _ = Finding("nonsense", "").level
