"""The page of the worklist, in a browser."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pectl.core.intake.findings import Finding
from pectl.core.labels.names import EXAM_LABELS, PE_PRESENT
from pectl.inference.prediction import Answer, Model, Prediction
from pectl.inference.worklist import Row
from pectl.report.worklist.page import Entry, write_worklist
from pectl.report.worklist.thumbnail import draw_thumbnail

ACCEPTED = (Finding("accepted", ""),)
MODEL = Model(name="<tiny>", version="1", digest="0123456789abcdef")


def entry(study, state, probability=0.5, *, called=(), findings=ACCEPTED, **more) -> Entry:
    answers = {
        name: Answer(score=0.5, probability=probability, consistent=0.5, called=name in called)
        for name in (PE_PRESENT, *EXAM_LABELS)
    }
    said = Prediction(
        study=study,
        series="1",
        state=state,
        findings=findings,
        model=MODEL,
        answers={} if state == "refused" else answers,
        **{name: more.pop(name) for name in ("unlike", "seen") if name in more},
    )
    parts = {"late": False, "picture": None, "explanation": None} | more
    return Entry(row=Row(name=study, prediction=said, arrived=1_700_000_000.0), json=f"studies/{study}.json", **parts)


@pytest.fixture
def page(tmp_path) -> Path:
    (tmp_path / "a.jpg").write_bytes(draw_thumbnail(np.zeros((40, 40), np.int16)))
    strained = ("rv_lv_ratio_gte_1", "leftsided_pe")
    entries = [
        entry("1.1", "flagged", 0.987, called=strained, picture=tmp_path / "a.jpg", explanation="e/1.1/index.html"),
        entry("1.2", "refused", findings=(Finding("not_chest", "300 ml of <air>"),), late=True),
        entry("1.3", "negative", 0.011, seen=True, unlike=("features far from those of training",)),
        entry("1.4", "negative", 0.123, findings=(Finding("accepted", ""), Finding("thick_slices", "5 mm"))),
    ]
    return write_worklist(tmp_path, entries, MODEL)


def test_what_the_page_says_of_each_study(page):
    text = page.read_text()
    assert text.count("<tr class=") == 4
    assert "no lungs of plausible size in the volume: 300 ml of &lt;air&gt;" in text
    assert "&lt;tiny&gt; 1" in text
    assert '<a href="e/1.1/index.html">explanation</a>' in text
    assert text.count("waits too long</span>") == 1
    assert text.count("Research use only, not for diagnosis.") == 2
    assert "2023-11-14 22:13" in text
    for note in ("features far from those of training", "the model was made with this study", "small emboli may be"):
        assert text.count(note) == 1


def test_the_list_sorts_and_filters_without_a_network(page, browser):
    browser.open(page)
    rows = "[...document.querySelectorAll('#list tbody tr')]"
    studies = f"{rows}.filter(row => !row.hidden).map(row => row.cells[2].innerText.slice(0, 3))"
    search = "(() => {{ const box = document.getElementById('search'); box.value = '{}'; "
    search += "box.dispatchEvent(new Event('input')) }})()"
    assert browser.run(studies) == ["1.1", "1.2", "1.3", "1.4"]
    browser.click("document.querySelector('[data-state=negative]')")
    assert browser.run(studies) == ["1.3", "1.4"]
    assert browser.run("document.getElementById('shown').textContent") == "2 of 4 shown"
    browser.run(search.format("far"))
    assert browser.run(studies) == ["1.3"]
    browser.run(search.format(""))
    browser.click("document.querySelector('.filters button')")
    browser.click("document.querySelectorAll('#list th')[4]")
    assert browser.run(studies) == ["1.1", "1.4", "1.3", "1.2"]
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []


def test_a_thumbnail_shows_contrast_and_air():
    hu = np.full((256, 256), -1000, np.int16)
    hu[:, 128:] = 450
    hu[128:, 128:] = 100
    shown = np.asarray(Image.open(io.BytesIO(draw_thumbnail(hu))))
    assert shown.shape == (128, 128)
    assert [int(shown[y, x]) for y, x in ((20, 20), (20, 100), (100, 100))] == pytest.approx([0, 255, 127], abs=3)
