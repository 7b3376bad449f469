"""The stamp on every store and run: what it is, which version, and what it was made from."""

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from pectl.core.storage.files import read_json, write_json
from pectl.errors import LineageError, StoreError

RESEARCH_USE = "research use only, not for diagnosis"


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """Identity of an artefact: `digest` is its own, `made_from` that of what it was made from."""

    format: str
    version: int
    digest: str
    made_from: dict[str, str]
    config_digest: str
    package_version: str = installed_version("pectl")
    use: str = RESEARCH_USE


def digest_of(*parts: object) -> str:
    """Return the SHA-256 of the parts' canonical JSON, as 64 hex digits."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_stamp(path: Path, stamp: Stamp, **more: object) -> None:
    """Write the stamp, and more keys beside it, as JSON."""
    write_json(path, asdict(stamp) | more)


def read_stamp(path: Path, *, format: str, version: int, made_by: str) -> tuple[Stamp, dict[str, Any]]:
    """Read a stamp, check that it is of this format and version, and return it with the other keys beside it.

    Raises:
        StoreError: no stamp, another format, or another version.
    """
    data = read_json(path, made_by=made_by)
    found = f"{data.get('format')} version {data.get('version')}"
    if found != f"{format} version {version}":
        raise StoreError(
            where=path,
            expected=f"{format} version {version}",
            found=found,
            fix=f"point to a folder of {made_by}, or make it again with this version of pectl",
        )
    try:
        return Stamp(**{name: data.pop(name) for name in Stamp.__dataclass_fields__}), data
    except KeyError as error:
        raise StoreError(
            where=path, expected=f"the key {error.args[0]!r}", found="none", fix=f"run {made_by} again"
        ) from error


def check_lineage(*, where: object, expected: str, found: str, what: str) -> None:
    """Refuse two artefacts of which one wasn't made from the other.

    Raises:
        LineageError: the digests differ; the message holds both.
    """
    if expected != found:
        raise LineageError(
            where=where,
            expected=f"{what} {expected}",
            found=found,
            fix="use the artefacts of one chain, or make it again",
        )
