from itertools import takewhile
from pathlib import Path

import pytest

from pectl.config import load_config
from pectl.core.models.stage1 import BACKBONES

FOLDER = Path(__file__).parents[1] / "sample_configs"
FILES = sorted(FOLDER.glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_sample_config_loads_and_opens_with_its_command(path: Path) -> None:
    config = load_config(path, [])
    assert config.stage1.backbone in BACKBONES
    opening = "".join(takewhile(lambda line: line.startswith("#"), path.read_text().splitlines()))
    assert "pectl " in opening


def test_there_are_sample_configs() -> None:
    assert "demo.toml" in {path.name for path in FILES}
