"""How reports are rendered: jinja2 that escapes everything, and pictures inlined as data URIs."""

import base64
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from pectl.errors import InputMissingError
from pectl.report.text import interval, number, p_value

_MIME_TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}


@cache
def template_environment() -> Environment:
    """Return an environment that escapes everything and fails on a name that isn't given."""
    loader = PackageLoader("pectl.report", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"number": number, "interval": interval, "p_value": p_value}
    return environment


def inline_file(path: Path) -> str:
    """Return a picture as a data URI.

    Raises:
        InputMissingError: no such file.
    """
    try:
        data = base64.b64encode(path.read_bytes()).decode()
    except FileNotFoundError as error:
        raise missing_input(path) from error
    return f"data:{_MIME_TYPES[path.suffix]};base64,{data}"


def missing_input(path: Path) -> InputMissingError:
    """Return the error of a file that an evaluation should have left."""
    return InputMissingError(
        where=path,
        expected="a file that metrics.json or the explanations name",
        found="no such file",
        fix="run pectl evaluate again",
    )
