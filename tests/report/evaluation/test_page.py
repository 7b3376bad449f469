import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from pectl.config import EvaluateConfig
from pectl.core.decisions.decisions import fit_decisions
from pectl.errors import InputMissingError, StoreError
from pectl.evaluation.evaluate import evaluate
from pectl.report.evaluation.page import write_evaluation_report

CONFIG = EvaluateConfig(bootstrap_replicates=100, prevalence=0.2)
FIGURES = ("roc", "precision_recall", "roc_labels", "calibration", "scores", "subgroups")
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def evaluated(make_cohort, tmp_path):
    decisions = fit_decisions(*make_cohort(80, seed=1, split="val"), CONFIG)

    def _evaluated(predictions=None, truth=None, decisions=decisions, **lineage):
        if predictions is None:
            predictions, truth = make_cohort(60, seed=2)
        evaluate(predictions, truth, decisions, CONFIG, out=tmp_path, lineage=lineage, seed=0)
        return tmp_path

    return _evaluated


@pytest.fixture
def without_figures(monkeypatch):
    """Drawing takes seconds; most tests read the page only."""
    monkeypatch.setattr("pectl.report.evaluation.page.draw_figures", lambda *_: [])


class _Balance(HTMLParser):
    """Checks that tags close in order, and collects the text and what is referred to."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self):
        super().__init__()
        self.open, self.references, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.references += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def _parsed(path):
    page = _Balance()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


def test_report_and_figures_are_written_the_same_each_time(evaluated):
    out = evaluated(stage2="abc123")
    path = write_evaluation_report(out)
    assert path == out / "report.html"
    for name in FIGURES:
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (out / f"{name}.svg").read_text()
    first = {file.name: file.read_bytes() for file in out.iterdir()}
    write_evaluation_report(out)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == first
    page = _parsed(path)
    inlined = [source for source in page.references if source.startswith("data:image/svg+xml")]
    assert len(inlined) == len(FIGURES)
    assert all(source.startswith(("data:", "#")) for source in page.references)  # needs no network
    text = "".join(page.texts)
    assert re.findall(r"https?://", text) == []
    assert "Research use only, not for diagnosis" in text
    assert "abc123" in text
    assert "fitted on the split 'val' of 80 other studies" in text
    assert "at a prevalence of 0.20" in text
    assert "Ma et al." not in text


def test_windows_with_features_get_a_map(evaluated, make_cohort):
    predictions, truth = make_cohort(60, seed=2)
    features = np.random.default_rng(0).normal(size=(len(predictions.window), 6)).astype(np.float32)
    out = evaluated(replace(predictions, window_features=features), truth)
    assert "Map of the windows" in "".join(_parsed(write_evaluation_report(out)).texts)
    assert (out / "feature_map.png").is_file()


@pytest.mark.usefixtures("without_figures")
def test_headline_sentence_counts_what_the_table_says(evaluated, make_cohort):
    predictions, truth = make_cohort(60, seed=2)
    text = "".join(_parsed(write_evaluation_report(evaluated(predictions, truth))).texts)
    match = re.search(r"Of (\d+) studies with PE the model found (\d+) and missed (\d+)", text)
    with_pe, found, missed = map(int, match.groups())
    assert with_pe == ((truth["negative_exam_for_pe"] == 0) & (truth["indeterminate"] == 0)).sum()
    assert found + missed == with_pe


@pytest.mark.usefixtures("without_figures")
def test_subgroups_and_the_band_are_shown(evaluated, make_cohort):
    predictions, truth = make_cohort(60, seed=2)
    known = truth.assign(kernel=["B30f", "LUNG"] * 30)
    text = "".join(_parsed(write_evaluation_report(evaluated(predictions, known))).texts)
    assert "B30f" in text
    assert "in the smaller class" in text
    assert re.search(
        r"At most 5 % of new studies with PE score below 0\.\d+ and are ruled out .* 95 % confidence", text
    )


@pytest.mark.usefixtures("without_figures")
def test_paper_is_shown_beside_ours_for_its_split(evaluated):
    text = write_evaluation_report(evaluated(split_method="ma2022")).read_text()
    assert "Ma et al. 2022" in text
    assert "0.948" in text
    assert 'class="paper"' in text


@pytest.mark.usefixtures("without_figures")
def test_worst_cases_are_the_ones_furthest_off(evaluated):
    out = evaluated()
    exam = pd.read_csv(out / "exam.csv", index_col=0)
    missed = exam[exam["pe_present_truth"] == 1]["pe_present_calibrated"].idxmin()
    alarm = exam[exam["pe_present_truth"] == 0]["pe_present_calibrated"].idxmax()
    html = write_evaluation_report(out).read_text()
    section = html[html.index('id="cases"') :]
    ids = re.findall(r'class="uid">(test2-\d+)', section)
    assert ids[0] == missed
    assert alarm in ids
    assert ids.index(alarm) == section[: section.index("False alarms")].count('class="uid">')


@pytest.mark.usefixtures("without_figures")
def test_explanations_are_inlined_and_linked(evaluated):
    out = evaluated()
    (out / "peak.png").write_bytes(PIXEL)
    summary = {
        "statement": "Grad-CAM's peak lies in a slice with PE in 3 of 4 studies.",
        "measures": {
            "pointing_game": {
                "n": 4,
                "value": 0.75,
                "ci": [0.3, 0.95],
                "above_baselines": True,
                "baselines": {
                    "random_lung": {"value": 0.02, "difference": 0.73, "difference_ci": [0.28, 0.93]},
                    "brightest_vessel": {"value": 0.25, "difference": 0.5, "difference_ci": [-0.11, 0.8]},
                },
            }
        },
        "studies": {
            "test2-0001": {
                "image": "peak.png",
                "link": "explain/test2-0001/index.html",
                "caption": "slice 12",
            },
            "test2-0002": {},
        },
    }
    page = _parsed(write_evaluation_report(out, explain_summary=summary))
    text = "".join(page.texts)
    assert "peak lies in a slice with PE in 3 of 4 studies" in text
    assert "Peak within 5 mm of an embolus" in text
    assert "0.30\N{EN DASH}0.95" in text
    assert "-0.11 to 0.80" in text
    assert "explain/test2-0001/index.html" in page.references
    assert any(source.startswith("data:image/png") for source in page.references)


@pytest.mark.usefixtures("without_figures")
def test_text_from_outside_is_escaped(evaluated, make_cohort):
    predictions, truth = make_cohort(60, seed=2)
    evil = "<script>alert(1)</script>"
    names = {uid: f"{evil}{k}" for k, uid in enumerate(predictions.exam.index)}
    renamed = replace(predictions, exam=predictions.exam.rename(index=names), window=None, image=None)
    out = evaluated(renamed, truth.rename(index=names), lineage_text=evil)
    (out / "config.toml").write_text(f'name = "{evil}"\n')
    html = write_evaluation_report(out, explain_summary={"statement": evil}).read_text()
    assert evil not in html
    assert html.count("&lt;script&gt;alert(1)") >= 3


def test_missing_levels_and_single_classes_leave_a_readable_page(evaluated, make_cohort):
    predictions, truth = make_cohort(20, seed=2)
    bare = replace(predictions, window=None, image=None, split="external")
    negative = truth.assign(**dict.fromkeys(truth.columns, 0.0)).assign(negative_exam_for_pe=1.0)
    text = "".join(_parsed(write_evaluation_report(evaluated(bare, negative, None))).texts)
    assert "No window predictions: the window level isn't measured." in text
    assert "0 of 20 are positive" in text
    assert "thresholds fixed at 0.5" in text


def test_images_alone_leave_a_readable_page(evaluated, make_cohort):
    predictions, truth = make_cohort(20, seed=2)
    images = replace(predictions, exam=predictions.exam.iloc[:0], window=None)
    out = evaluated(images, truth, None)
    text = "".join(_parsed(write_evaluation_report(out)).texts)
    assert "PE in image" in text
    assert (out / "roc.png").is_file()
    unlabelled = replace(images, image=images.image.assign(label=np.int8(-1)))
    text = "".join(_parsed(write_evaluation_report(evaluated(unlabelled, truth, None))).texts)
    assert "there is no curve to draw" in text
    assert list(out.glob("*.png")) == []  # none is left of the first


def test_no_evaluation_to_report(tmp_path):
    with pytest.raises(StoreError, match=r"metrics\.json: expected a file that pectl evaluate writes"):
        write_evaluation_report(tmp_path)


@pytest.mark.parametrize("name", ["exam.csv", "window.csv", "image.csv"])
@pytest.mark.usefixtures("without_figures")
def test_a_table_that_is_gone_is_named(evaluated, name):
    out = evaluated()
    (out / name).unlink()
    with pytest.raises(InputMissingError, match=rf"{name}: expected a table that metrics.json names"):
        write_evaluation_report(out)


@pytest.mark.usefixtures("without_figures")
def test_a_picture_that_is_gone_is_named(evaluated):
    with pytest.raises(InputMissingError, match=r"gone\.png"):
        write_evaluation_report(evaluated(), explain_summary={"studies": {"a": {"image": "gone.png"}}})


HEADING = "[...document.querySelectorAll('#results thead th')].find(cell => cell.textContent === '{}')"
COLUMN = "[...document.querySelectorAll('#results tbody tr')].map(row => row.cells[{}].dataset.value)"
SORTED = HEADING + ".getAttribute('aria-sort')"


@pytest.mark.usefixtures("without_figures")
def test_tables_sort_in_a_real_browser(evaluated, browser):
    browser.open(write_evaluation_report(evaluated()))
    browser.click(HEADING.format("Cases"))
    counts = [int(value) for value in browser.run(COLUMN.format(1))]
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) > 2
    assert browser.run(SORTED.format("Cases")) == "descending"
    browser.press("Enter")
    assert [int(value) for value in browser.run(COLUMN.format(1))] == sorted(counts)
    assert browser.run(SORTED.format("Cases")) == "ascending"
    browser.click(HEADING.format("AUROC"))
    areas = [float(value) for value in browser.run(COLUMN.format(3))]
    assert areas == sorted(areas, reverse=True)
    assert browser.run(SORTED.format("Cases")) is None
    browser.click(HEADING.format("What is asked"))
    names = browser.run("[...document.querySelectorAll('#results tbody th')].map(cell => cell.textContent.trim())")
    assert names == sorted(names, key=str.lower)


def test_the_page_asks_for_nothing_and_complains_of_nothing(evaluated, browser):
    path = write_evaluation_report(evaluated())
    browser.open(path)
    browser.click(HEADING.format("AUROC"))
    browser.click("document.querySelector('summary')")
    assert browser.requests == [path.as_uri()]
    assert browser.complaints == []
    pictures = browser.run("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
    assert len(pictures) == len(FIGURES)
    assert all(pictures)
    assert browser.run("location.hash = '#figures', document.querySelector(location.hash) !== null")


@pytest.mark.usefixtures("without_figures")
def test_the_page_fits_a_phone(evaluated, browser):
    browser.open(write_evaluation_report(evaluated()))
    browser.resize(390, 800)
    try:
        assert browser.run("document.documentElement.scrollWidth") <= 390
    finally:
        browser.resize(1280, 900)


def test_the_page_prints_on_landscape_paper_with_everything_open(evaluated, browser):
    browser.open(write_evaluation_report(evaluated()))
    pdf = browser.print()
    assert pdf.startswith(b"%PDF")
    width, height = map(float, re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf).groups())
    assert (round(width), round(height)) == (842, 595)  # A4 in points
    assert 4 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 12
    assert browser.run("[...document.querySelectorAll('details')].every(item => item.open)")
