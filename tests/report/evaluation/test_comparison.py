from dataclasses import replace

import pytest

from pectl.config import EvaluateConfig
from pectl.errors import StoreError
from pectl.evaluation.compare import compare
from pectl.evaluation.evaluate import evaluate
from pectl.report.evaluation.comparison import verdict, write_comparison_report

CONFIG = EvaluateConfig(bootstrap_replicates=100)


@pytest.fixture
def compared(make_cohort, tmp_path):
    """The page of a comparison with a worse model of the exams; windows and images are the same."""
    predictions, truth = make_cohort(60, seed=2)
    worse = replace(predictions, exam=1 - predictions.exam)
    for name, model in (("a", predictions), ("b", worse)):
        evaluate(model, truth, None, CONFIG, out=tmp_path / name, lineage={}, seed=0)
    compare(tmp_path / "a", tmp_path / "b", CONFIG, out=tmp_path, seed=0)
    return write_comparison_report(tmp_path)


def test_page_and_forest_plot_are_written(compared, tmp_path):
    text = compared.read_text()
    assert "A is better in PE present, Negative exam" in text
    assert "Research use only" in text
    assert "&lt; 0.0001" in text
    assert "both rank alike" in text  # windows and images are the same in both
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "comparison.svg").read_text()


def test_the_table_sorts_in_a_real_browser_that_is_asked_for_nothing(compared, browser):
    browser.open(compared)
    heading = "[...document.querySelectorAll('thead th')].find(cell => cell.textContent === 'A - B')"
    browser.click(heading)
    rows = "[...document.querySelectorAll('tbody tr')].map(row => row.cells[5].dataset.value)"
    differences = [float(value) for value in browser.run(rows)]
    assert differences == sorted(differences, reverse=True)
    assert differences[0] > 0.1 > differences[-1]
    assert browser.requests == [compared.as_uri()]
    assert browser.complaints == []
    assert browser.run("[...document.images].every(image => image.naturalWidth > 0)")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("X", 0.1, 0.2), ("Y", -0.1, None)], "no difference is shown: that isn't proof of equality."),
        ([("X", 0.1, 0.01), ("Y", -0.1, 0.02), ("Z", 0.2, 0.9)], "A is better in X; B is better in Y."),
    ],
)
def test_verdict_names_what_survives_correction(rows, expected):
    named = [{"title": title, "difference": d, "p_holm": p} for title, d, p in rows]
    assert verdict(named).endswith(expected)


def test_no_comparison_to_report(tmp_path):
    with pytest.raises(StoreError, match=r"comparison\.json: expected a file that pectl compare writes"):
        write_comparison_report(tmp_path)
