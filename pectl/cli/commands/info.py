"""`pectl info`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pectl.cli.console import say, show_table

if TYPE_CHECKING:
    from pectl.steps.info import Artefact

_DIGEST = 64
_SHORT = 12


def info(
    path: Annotated[Path, typer.Argument(help="A bundle, store, run, evaluation, or any other result.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with whole digests.")] = False,
) -> None:
    """Say what a file or folder is, what it was made from, and whether it is whole.

    Ends with 1 where it isn't whole.
    """
    import json

    from pectl.steps.info import describe

    found = describe(path)
    if as_json:
        say(json.dumps(found.to_json(), indent=2))
    else:
        _show(found)
    found.check_whole()


def _show(found: "Artefact") -> None:
    rows: dict[str, object] = {"state": found.state}
    if found.problem:
        rows["problem"] = found.problem
    rows |= {name: _text(value) for name, value in (found.facts | found.holds).items()}
    if found.made_from:
        rows["made from"] = _text(found.made_from)
    show_table(f"{found.kind}: {found.path}", rows)


def _text(value: object) -> str:
    """Write a value on one line; digests by their first signs."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items())
    if isinstance(value, list):
        return " to ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    text = "-" if value is None else str(value)
    return text[:_SHORT] if len(text) == _DIGEST else text
