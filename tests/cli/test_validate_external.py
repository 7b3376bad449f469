"""`pectl validate-external`, as a user runs it."""

import pytest

from pectl.evaluation.external.validate import validate_sites
from pectl.steps.external import validate_external as step
from tests.evaluation.external.test_pooled import CONFIG, site

MODEL = {"name": "m", "digest": "d" * 64, "training_fingerprints": 0, "trained_on": [], "made_from": {}}


@pytest.fixture
def validate(pectl, tmp_path, monkeypatch):
    """Run the command with two hand-made sites in the place of stores; returns the result and the question."""
    asked = []

    def run(question, out, config):
        asked.append(question)
        question.progress(1, 1)
        mixed = site("north", [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.7, 0.6, 0.8, 0.9])
        return validate_sites([mixed, site("south", [1, 1], [0.4, 0.9])], {}, model=MODEL, config=CONFIG, seed=0)

    monkeypatch.setattr(step, "validate_external", run)
    return lambda *arguments: (pectl("validate-external", *arguments, "--out", tmp_path / "out"), asked)


def test_what_it_says(validate, tmp_path):
    result, (question,) = validate(
        "--model", "m.pectl", "a/north", "south=b", "--truth", "north=t", "--trained-on", "rsna"
    )
    assert result.code == 0, result.err
    assert [*question.stores, *question.sizes, *question.trained_on] == ["north", "south", "north", "rsna"]
    words = " ".join(result.out.split())
    figures = "AUROC 0.889 (0.581\N{EN DASH}1.000); sensitivity 100 %, specificity 67 %"
    assert f"north: 6 studies, 3 with PE; {figures}" in words
    assert "south: 2 studies, 2 with PE; no AUROC: 2 of 2 are positive" in words
    assert "south isn't pooled: PE alone: with other sites in one heap the site would give the answer away" in words
    assert "no summary: 1 of 2 sites can be summarised, and a summary needs two" in words
    assert "Research use only, not for diagnosis." in words
    assert (tmp_path / "out" / "status.json").exists()


def test_bad_input_is_one_line(pectl, tmp_path):
    for arguments, text in {
        ("a/x", "b/x"): "STORE: expected each name once, found x for a/x and b/x; write OTHER=b/x",
        ("a/x",): "expected a bundle, found No such file or directory",
    }.items():
        result = pectl("validate-external", *arguments, "--model", tmp_path / "m.pectl", "--out", tmp_path / "out")
        assert (result.code, len(result.err.strip().splitlines())) == (1, 1)
        assert text in result.err
        assert not (tmp_path / "out").exists()
    assert pectl("validate-external", "--model", "m", "--out", "o").code == 2
