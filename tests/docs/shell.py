"""The shell blocks of the documentation, and the `pectl` commands that bash makes of them."""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_NOTHING_RUNS = """
command_not_found_handle() { printf '%s\\0' "$@" >&3; printf '\\n' >&3; }
cd() { :; }; source() { :; }; function . { :; }
"""
"""No program is found where PATH leads nowhere; bash then calls the handler, which keeps the arguments."""


class Line(NamedTuple):
    """One `pectl` command, as the shell would give it to the program."""

    page: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: pectl {' '.join(self.arguments)}"


def blocks(page: Path) -> list[str]:
    """Return the shell blocks of a page."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def expand(block: str, folder: Path) -> list[tuple[str, ...]]:
    """Let bash expand variables, loops and substitutions; return the arguments of every program that it would start."""
    kept = folder / "programs"
    script = f"PATH=/nowhere; exec 3> {kept}\n{_NOTHING_RUNS}\n{block}"
    done = subprocess.run(["/bin/bash", "-uc", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [tuple(line.split("\0")[:-1]) for line in kept.read_text().splitlines()]


def commands(page: Path, folder: Path) -> list[Line]:
    """Return the `pectl` commands of a page, also those that torchrun or srun start."""
    programs = [program for block in blocks(page) for program in expand(block, folder)]
    name = str(page.relative_to(ROOT))
    return [Line(name, program[program.index("pectl") + 1 :]) for program in programs if "pectl" in program]
