from dataclasses import replace

import pytest

from pectl.analysis.compare import compare
from pectl.analysis.evaluate import evaluate
from pectl.config import EvaluateConfig
from pectl.errors import StoreError
from pectl.report.comparison_report import verdict, write_comparison_report

CONFIG = EvaluateConfig(bootstrap_replicates=100)


def test_page_and_forest_plot_are_written(make_cohort, tmp_path):
    predictions, truth = make_cohort(60, seed=2)
    worse = replace(predictions, exam=1 - predictions.exam)
    for name, model in (("a", predictions), ("b", worse)):
        evaluate(model, truth, None, CONFIG, out=tmp_path / name, lineage={}, seed=0)
    compare(tmp_path / "a", tmp_path / "b", CONFIG, out=tmp_path, seed=0)
    path = write_comparison_report(tmp_path)
    text = path.read_text()
    assert "A is better in PE present, Negative exam" in text
    assert "Research use only" in text
    assert "&lt; 0.0001" in text
    assert "both rank alike" in text  # windows and images are the same in both
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "comparison.svg").read_text()


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
