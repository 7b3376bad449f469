"""What a newcomer meets first: the version, sample configurations by name, completion in the shell."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from pectl.config import Config, load_config, sample_names
from pectl.errors import InputMissingError


def test_version(pectl) -> None:
    result = pectl("--version")
    assert (result.code, result.out) == (0, f"pectl {version('pectl')}\n")


def test_a_sample_is_found_by_name_from_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert sample_names() == ["demo", "phantom", "phantom_realistic", "rspect", "rspect_ma2022"]
    config = load_config(Path("rspect_ma2022"), [])
    assert (config.split.method, config.stage1.backbone) == ("ma2022", "r3d_18")


def test_a_file_of_a_samples_name_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").write_text("seed = 7\n")
    assert load_config(Path("demo"), []) == Config(seed=7)


def test_a_folder_of_a_sample_s_name_is_not_taken_for_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()  # as pectl demo leaves it
    assert load_config(Path("demo"), []).phantom.studies == 170


def test_neither_a_file_nor_a_sample(tmp_path: Path) -> None:
    message = (
        "rspekt: expected a TOML configuration file, or the name of a sample, found neither; check the path of "
        "--config, or give one of demo, phantom, phantom_realistic, rspect, rspect_ma2022"
    )
    with pytest.raises(InputMissingError) as raised:
        load_config(Path("rspekt"), [])
    assert str(raised.value) == message


def complete(words: str) -> list[str]:
    environment = os.environ | {
        "_PECTL_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    code = "import sys; sys.argv = ['pectl']; from pectl.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    return done.stdout.split()


def test_a_shell_completes_the_names_of_samples_and_commands() -> None:
    assert complete("pectl summary --config rsp") == ["rspect", "rspect_ma2022"]
    assert complete("pectl prep") == ["preprocess"]
