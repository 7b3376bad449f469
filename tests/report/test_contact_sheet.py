"""The pages of previews: self-contained, escaped, flagged studies first, as many pages as needed."""

import re

import cv2
import numpy as np
import pytest

from pectl.errors import InputMissingError
from pectl.report import contact_sheet
from pectl.report.contact_sheet import Entry, write_contact_sheets


@pytest.fixture
def entry(tmp_path):
    def make(uid, *codes):
        path = tmp_path / "pictures" / f"{uid}.jpg"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
        return Entry(uid, path, codes)

    return make


def uids(page):
    return re.findall(r"<code>(.*?)</code>", page.read_text())


def test_flagged_studies_come_first_and_the_page_stands_alone(tmp_path, entry):
    entries = [entry("1.1"), entry("1.2", "padding", "no_contrast"), entry("1.3", "padding")]
    (page,) = write_contact_sheets(tmp_path / "out", entries)
    assert page == tmp_path / "out" / "index.html"
    assert uids(page) == ["1.2", "1.3", "1.1"]
    text = page.read_text()
    assert "Research use only, not for diagnosis" in text
    assert "no_contrast" in text
    assert text.count("data:image/jpeg;base64,") == 3
    assert not re.search(r"(src|href)=\"(?!data:)", text)


def test_names_are_escaped(tmp_path, entry):
    made = entry("plain")
    (page,) = write_contact_sheets(tmp_path, [Entry("<script>x</script>", made.picture, ("<b>",))])
    assert "<script>" not in page.read_text()
    assert "<b>" not in page.read_text()


def test_many_studies_take_several_pages_and_old_ones_go(tmp_path, entry, monkeypatch):
    monkeypatch.setattr(contact_sheet, "PER_PAGE", 2)
    entries = [entry(f"1.{number}") for number in range(5)]
    pages = write_contact_sheets(tmp_path, entries)
    assert [page.name for page in pages] == ["index.html", "page-2.html", "page-3.html"]
    assert [uid for page in pages for uid in uids(page)] == [f"1.{number}" for number in range(5)]
    assert re.findall(r'href="(.*?)"', pages[1].read_text()) == ["index.html", "page-3.html"]
    write_contact_sheets(tmp_path, entries[:3])
    assert sorted(path.name for path in tmp_path.glob("*.html")) == ["index.html", "page-2.html"]


def test_no_study_is_said(tmp_path):
    (page,) = write_contact_sheets(tmp_path, [])
    assert "No study has a picture." in page.read_text()


def test_a_picture_that_is_gone_is_named(tmp_path):
    with pytest.raises(InputMissingError, match=r"none\.jpg: expected a file that"):
        write_contact_sheets(tmp_path, [Entry("1", tmp_path / "none.jpg", ())])
