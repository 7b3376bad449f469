"""What macOS leaves beside files on a disk that isn't its own."""

from pathlib import Path

APPLE_DOUBLE = bytes.fromhex("0005160700020000") + b"Mac OS X        " + bytes(4072)


def add_apple_doubles(root: Path) -> None:
    """Put one beside every file under a folder."""
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(APPLE_DOUBLE)
