"""The directive `{command-reference}`: every command of the program with its arguments and options, from the app."""

from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.main import get_command

from pectl.cli.app import app


class CommandReference(SphinxDirective):
    """Puts a section for each command in its place."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        return self.parse_text_to_nodes("\n".join(_lines()), allow_section_headings=True)


def _lines() -> list[str]:
    group: Any = get_command(app)
    return [line for name, command in sorted(group.commands.items()) for line in _section(name, command)]


def _section(name: str, command: Any) -> list[str]:  # noqa: ANN401 - Typer's own class of command, which it doesn't export
    context = typer.Context(command, info_name=f"pectl {name}")
    usage = command.get_usage(context).removeprefix("Usage: ")
    records = [record for record in (item.get_help_record(context) for item in command.get_params(context)) if record]
    rows = [f"| `{_cell(names)}` | {_cell(meaning)} |" for names, meaning in records]
    text = " ".join((command.help or "").split())
    return [f"## {name}", "", "```text", usage, "```", "", text, "", "| option | meaning |", "|---|---|", *rows, ""]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True}
