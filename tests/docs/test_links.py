"""What README and CONTRIBUTING point to is there; the links inside docs are checked by `make docs`."""

import re

import pytest

from tests.docs.shell import ROOT

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Anchors that GitHub gives to headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(text)}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_local_links_lead_somewhere(name):
    local = [link for link in _LINK.findall((ROOT / name).read_text()) if not link.startswith("https://")]
    assert local, "no link found"
    missing = []
    for link in local:
        path, _, anchor = link.partition("#")
        target = ROOT / (path or name)
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            missing.append(link)
    assert missing == []
