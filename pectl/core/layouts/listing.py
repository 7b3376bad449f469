"""What lies in a set's folder: every layout looks for its files here."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from pectl.core.layouts.layout import Met, met
from pectl.core.storage.apple_double import is_apple_double
from pectl.core.volumes.formats import suffix_of


class Volumes(NamedTuple):
    """Volume files by study.

    Attributes:
        file: the one that is used, by the set's name of the study.
        met: files of these studies that aren't used.
    """

    file: dict[str, Path]
    met: list[Met]


def listed(folder: Path, pattern: str) -> list[Path]:
    """Return what a pattern finds, sorted, without the `._NAME` that macOS leaves beside files."""
    return sorted(path for path in folder.glob(pattern) if not is_apple_double(path))


def stem_of(path: Path) -> str:
    """Return the name of a volume file without its ending.

    Example:
        >>> stem_of(Path("CTPA/PE452890e.nii.gz"))
        'PE452890e'
    """
    return path.name[: len(path.name) - len(suffix_of(path))]


def find_volumes(
    folder: Path, pattern: str, *, what: Literal["image", "mask"], name_of: Callable[[Path], str] = stem_of
) -> Volumes:
    """Find volume files by study; of several of one study the packed one is used, as released, else the first by path.

    Args:
        folder: of the set.
        pattern: of the files.
        what: they are.
        name_of: returns the set's name of the study in a file.
    """
    found: dict[str, list[Path]] = {}
    for path in listed(folder, pattern):
        if suffix_of(path):
            found.setdefault(name_of(path), []).append(path)
    used = {name: min(paths, key=_packed_first) for name, paths in found.items()}
    others = [str(path.relative_to(folder)) for name, paths in found.items() for path in paths if path != used[name]]
    meaning = f"{what}s of studies that have another, which is used: the packed one (.gz), else the first by path"
    return Volumes(used, met(f"second_{what}", meaning, others))


def _packed_first(path: Path) -> tuple[bool, Path]:
    return path.suffix.lower() != ".gz", path
