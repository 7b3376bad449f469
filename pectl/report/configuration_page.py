"""The page that lists every key of the configuration, made from the models themselves."""

import ast
import inspect
import json
import sys
from functools import cache
from itertools import pairwise
from typing import Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pectl.config import Config, Section

_SIGNS = {"ge": "&ge;", "gt": "&gt;", "le": "&le;", "lt": "&lt;"}
_HEAD = """# Configuration

One TOML file describes a whole experiment. Give it to a command with `--config FILE.toml`, or name one that comes
with `pectl`, such as `--config demo`; `sample_configs/` has them. Change one value with `--set section.key=value`, as
often as needed; `--seed` sets `seed`. Keys that are left out have the defaults below. Unknown keys and bad values are
reported together. Each command writes the resolved configuration beside its result.

This page is made from the models in `pectl/config.py`:

    .venv/bin/python -m pectl.report.configuration_page > docs/reference/configuration.md
"""


def configuration_markdown() -> str:
    """Return the page as Markdown: for each section its keys, defaults, allowed values and meanings."""
    return "\n".join([_HEAD, *_section(Config, "")])


def _section(model: type[BaseModel], name: str) -> list[str]:
    title, intro = (f"`[{name}]`", (model.__doc__ or "").strip()) if name else ("Top level", "Above all sections.")
    rows, inner = [], []
    for key, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            inner += _section(kind, f"{name}.{key}".lstrip("."))
        else:
            rows.append(f"| `{key}` | {_default(info)} | {_allowed(info)} | {_meaning(model, key)} |")
    head = ["| key | default | allowed | meaning |", "|---|---|---|---|"]
    return [f"## {title}", "", intro, "", *head, *rows, "", *inner]


def _default(info: FieldInfo) -> str:
    if info.default is None:
        return "none"
    if isinstance(info.default, dict):
        return "`{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in info.default.items()) + " }`"
    return f"`{json.dumps(info.default)}`"


def _allowed(info: FieldInfo) -> str:
    if get_origin(info.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(info.annotation))
    limits = ((sign, getattr(limit, name, None)) for limit in info.metadata for name, sign in _SIGNS.items())
    return ", ".join(f"{sign} {value}" for sign, value in limits if value is not None)


def _meaning(model: type[BaseModel], key: str) -> str:
    """Return the docstring of a key on one line, from the parent class where the section only changes the default."""
    parents = (parent for parent in model.__mro__ if issubclass(parent, Section))
    return " ".join(next((_docstrings(parent)[key] for parent in parents if key in _docstrings(parent)), "").split())


@cache
def _docstrings(model: type[Section]) -> dict[str, str]:
    """Return the string below each key of a section; pydantic would look for them whenever `pectl` starts."""
    (section,) = ast.parse(inspect.getsource(model)).body
    return {
        key.target.id: text.value.value
        for key, text in pairwise(section.body)  # type: ignore[attr-defined]  # it is a class
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


if __name__ == "__main__":
    sys.stdout.write(configuration_markdown())
