"""The examples of docs/how-to/python.md run, and importing pectl is quick."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.tiny_instrument import tiny_instrument

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "pandas", "numpy", "pydantic", "pydicom", "typer")


def test_the_examples_of_the_page_run(monkeypatch, tmp_path, write_series, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "python.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    monkeypatch.setitem(sys.modules, "pectl.bundle.load", SimpleNamespace(load_bundle=lambda path: tiny_instrument()))
    write_series(tmp_path / "study", study="1.1", n_slices=34, size=(64, 64), pixel_spacing_mm=(6.0, 6.0))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    printed = capsys.readouterr().out.splitlines()
    prediction = names["prediction"]
    assert printed[0] == f"undecided {prediction.probability}"
    assert printed[-1] == "1 []"
    assert printed[-4:-1] == ["1.1 undecided", "0 1", "1 1"]
    assert (tmp_path / "out" / "worklist.html").exists()


def test_the_functions_that_the_page_names_are_there():
    page = (ROOT / "docs" / "how-to" / "python.md").read_text()
    table = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = [name.rpartition(".") for cell in table for name in re.findall(r"`(.*?)`", cell)]
    assert len(named) == 18
    for module, _, function in named:
        assert callable(getattr(importlib.import_module(f"pectl.steps.{module}"), function))


def test_importing_pectl_brings_nothing_heavy():
    code = f"import sys, pectl; sys.exit(any(name in sys.modules for name in {HEAVY}))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_an_unknown_name_is_an_attribute_error():
    import pectl

    with pytest.raises(AttributeError, match="module 'pectl' has no attribute 'nothing'"):
        _ = pectl.nothing
    assert "load_bundle" in dir(pectl)
