"""Every `pectl` line of README, CONTRIBUTING and docs is one that the program takes, with known keys."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from pectl.cli.app import app
from pectl.config import load_config
from tests.docs.shell import PAGES, ROOT, commands, expand

_SPAN = re.compile(r"`(?:pectl )?([a-z][a-z0-9-]+)((?: [^`]*)?)`")


def parse(arguments: tuple[str, ...]) -> dict[str, Any] | None:
    """Parse as the program would, and run nothing; None where only help or the version is shown."""
    group: Any = get_command(app)
    for command in group.commands.values():
        command.callback = lambda **values: values
    values = group.main(list(arguments), prog_name="pectl", standalone_mode=False)
    return values if isinstance(values, dict) else None


def check(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse the line, and load its configuration with its `--set`."""
    values = parse(arguments)
    if values and "overrides" in values:
        monkeypatch.chdir(ROOT)  # paths of sample configurations are relative to it
        load_config(values["config"], values["overrides"] or [], values.get("seed"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_line_is_one_that_the_program_takes(page, tmp_path, capsys, monkeypatch):
    wrong = []
    for line in commands(page, tmp_path):
        try:
            check(line.arguments, monkeypatch)
        except Exception as error:  # noqa: BLE001 - whatever it is, the line is wrong
            wrong.append(f"{line}\n    {error}")
    assert wrong == []


def test_the_lines_are_found(tmp_path):
    found = [line for page in PAGES for line in commands(page, tmp_path)]
    pages = {line.page for line in found}
    assert {"README.md", "docs/getting-started/demo.md", "docs/how-to/several-gpus.md", "docs/how-to/folds.md"} <= pages
    assert {line.arguments[0] for line in found} >= set(get_command(app).commands) - {"summary"}


def test_bash_expands_what_is_parsed(tmp_path):
    loop = 'for K in 0 1; do\n  pectl compare $C x$K \\\n   $(printf -- "--out %s" y)\ndone'
    block = f'C="--config a.toml"\n{loop}\nmake demo\n'
    assert expand(block, tmp_path) == [
        ("pectl", "compare", "--config", "a.toml", "x0", "--out", "y"),
        ("pectl", "compare", "--config", "a.toml", "x1", "--out", "y"),
        ("make", "demo"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluat", "x", "--out", "y"), "No such command"),
        (("preprocess", "x", "--out", "y", "--labls", "z"), "No such option"),
        (("preprocess", "x"), "Missing parameter: out"),
        (("phantom", "x", "--set", "phantom.studdies=3"), "studdies"),
        (("phantom", "x", "--config", "sample_configs/none.toml"), "none.toml"),
    ],
)
def test_a_wrong_line_fails(arguments, message, monkeypatch):
    with pytest.raises(Exception, match=message):
        check(arguments, monkeypatch)


def spans() -> list[tuple[str, str, str]]:
    """Commands in running text: page, command, rest."""
    known = get_command(app).commands
    found = [(page, *match) for page in PAGES for match in _SPAN.findall(prose(page))]
    return [(str(page.relative_to(ROOT)), name, rest) for page, name, rest in found if name in known and rest]


def prose(page: Path) -> str:
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def test_options_in_running_text_are_those_of_the_command():
    known = get_command(app).commands
    options = {
        name: {opt for param in known[name].params for opt in (*param.opts, *param.secondary_opts)} for name in known
    }
    wrong = [span for span in spans() if set(re.findall(r"--[a-z][a-z0-9-]*", span[2])) - options[span[1]]]
    assert wrong == []
    assert len(spans()) >= 3
