"""Files that macOS writes beside others on foreign disks, and that zip archives made there bring along."""

from pathlib import Path

_PREFIX = "._"


def is_apple_double(path: Path) -> bool:
    """Tell by its name whether a file is an AppleDouble: `._001.nrrd` has what Finder knows of `001.nrrd`, no image.

    Example:
        >>> is_apple_double(Path("images/._001.nrrd")), is_apple_double(Path("images/.hidden.nrrd"))
        (True, False)
    """
    return path.name.startswith(_PREFIX)
