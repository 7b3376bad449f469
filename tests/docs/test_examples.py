"""The examples in docstrings and on the page of the Python API, run as they stand."""

import doctest
import importlib

import pytest

from tests.docs.shell import ROOT

WITH_EXAMPLES = [
    "pectl.config",
    "pectl.core.batches.intensity",
    "pectl.core.batches.windows",
    "pectl.core.decisions.calibration",
    "pectl.core.decisions.conformal",
    "pectl.core.decisions.consistency",
    "pectl.core.decisions.thresholds",
    "pectl.core.statistics.bootstrap",
    "pectl.core.statistics.delong",
    "pectl.core.statistics.froc",
    "pectl.core.statistics.intervals",
    "pectl.core.statistics.metrics",
    "pectl.core.statistics.ranking",
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_the_example_of_the_python_api(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(ROOT / "docs" / "reference" / "api.md"), module_relative=False)
    assert result.attempted > 0
    assert result.failed == 0


def test_an_example_that_is_wrong_fails():
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda text: None).failed == 1
