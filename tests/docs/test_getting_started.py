"""The commands of 'Getting started', run one after the other as they stand, on a tiny cohort."""

import json
import shutil
import tomllib
from typing import Any

import pytest
from typer.main import get_command

from pectl.cli.app import app
from tests.cli.conftest import run_ok
from tests.docs.shell import ROOT, commands
from tests.tiny import tiny_config

TINY_PHANTOM = {"studies": 12, "matrix_px": 64, "slices": 30, "prevalence": 0.5, "indeterminate_fraction": 0.0}
PAGES = [ROOT / "docs" / "getting-started" / f"{name}.md" for name in ("demo", "your-dicom")]


def tiny() -> list[str]:
    """The `--set` that make any configuration tiny."""
    sections: dict[str, dict[str, Any]] = tomllib.loads(tiny_config()) | {"phantom": TINY_PHANTOM}
    pairs = [(f"{section}.{key}", value) for section, keys in sections.items() for key, value in keys.items()]
    return [part for key, value in pairs for part in ("--set", f"{key}={written(value)}")]


def written(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {written(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)


@pytest.mark.slow
def test_getting_started_runs_as_it_stands(tmp_path, monkeypatch):
    lines = [line for page in PAGES for line in commands(page, tmp_path)]
    monkeypatch.chdir(tmp_path)
    options = {
        name: {opt for param in command.params for opt in param.opts}
        for name, command in get_command(app).commands.items()
    }
    for line in lines:
        shrink = tiny() if "--set" in options[line.arguments[0]] else []
        run_ok(*line.arguments, *shrink)
        if line.arguments[0] == "demo":  # its cohort stands for the reader's own files
            shutil.copytree("demo/cohort/train", "MY_DICOM")
            study = min(path for path in (tmp_path / "MY_DICOM").iterdir())
            study.rename(study.with_name("one_study"))
    made = ["demo/evaluation/report.html", "demo/evaluation/metrics.json", "demo/explanations/index.html"]
    made += ["work/evaluation/report.html", "my/verdicts/verdicts.csv", "my/store/store.json"]
    assert [name for name in made if not (tmp_path / name).is_file()] == []
    assert list((tmp_path / "my" / "explanation").glob("*/explain.json"))
