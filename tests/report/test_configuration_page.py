from pathlib import Path

import pytest
from pydantic import BaseModel

from pectl.config import Config, load_config
from pectl.report.configuration_page import configuration_markdown

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "sample_configs").glob("*.toml"))


def keys(model: type[BaseModel]) -> list[str]:
    found = []
    for key, info in model.model_fields.items():
        inner = isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
        found += keys(info.annotation) if inner else [key]
    return found


def rows() -> list[list[str]]:
    lines = [line for line in configuration_markdown().splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_page_in_docs_is_what_the_models_say():
    written = (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
    assert written == configuration_markdown(), (
        "run: python -m pectl.report.configuration_page > docs/reference/configuration.md"
    )


def test_every_key_is_listed_once_in_order():
    assert [row[0].strip("`") for row in rows()] == keys(Config)


def test_every_key_has_a_meaning():
    assert [row[0] for row in rows() if len(row) != 4 or not row[3]] == []


def test_each_key_is_one_row():
    lines = configuration_markdown().splitlines()
    assert [line for line in lines if line.startswith("|") != line.endswith("|")] == []


def test_default_limits_and_choices_are_shown():
    text = configuration_markdown()
    assert "| `in_plane_px` | `224` | &ge; 32, &le; 1024 | Side of the square" in text
    assert '| `schedule` | `"constant"` | `constant`, `step`, `one-cycle` |' in text
    assert (
        "| `hu_ranges` | `{ lung = [-1350.0, 150.0], pe = [-250.0, 450.0], mediastinal = [-160.0, 240.0] }` |" in text
    )


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_configuration_loads_and_opens_with_its_command(path):
    load_config(path, [])
    head = path.read_text(encoding="utf-8").split("\n\n")[0]
    assert "pectl " in head
    assert str(path.relative_to(ROOT)) in head


def test_the_sample_configurations_are_the_documented_ones():
    assert [path.stem for path in SAMPLES] == ["demo", "phantom", "phantom_realistic", "rspect", "rspect_ma2022"]


def test_the_preset_of_the_paper():
    config = load_config(ROOT / "sample_configs" / "rspect_ma2022.toml", [])
    assert config.split.method == "ma2022"
    assert (config.windows.length, config.windows.stride) == (10, 10)
    assert (config.stage1.backbone, config.stage1.epochs, config.stage1.batch_size) == ("r3d_18", 20, 16)
    assert (config.stage2.epochs, config.stage2.batch_size, config.stage2.causal) == (200, 64, True)
    assert config.evaluate.indeterminate == "as-negative"
