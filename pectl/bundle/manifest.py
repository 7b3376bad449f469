"""`manifest.json` of a bundle: its version, what it was made from, and size and SHA-256 of every other member."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pectl.bundle.archive import Archive, open_archive, refused
from pectl.core.storage.stamp import RESEARCH_USE, Stamp
from pectl.errors import StoreError

FORMAT, VERSION = "pectl-bundle", 2
NAME = "manifest.json"
MAX_MANIFEST_BYTES = 2**20
MAX_TEXT_BYTES = 2**26
"""Of a member that isn't weights."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        n_members: pairs of stage 1 and stage 2.
        made_from: digests by name, those of a pair as `stage1/1`, `features/1`, `stage2/1`, `split/1`.
        package_version: of the pectl that made it.
        members: name -> (bytes, SHA-256).
        digest: SHA-256 of the manifest itself, the identity of the bundle.
    """

    n_members: int
    made_from: dict[str, str]
    package_version: str
    members: dict[str, tuple[int, str]]
    digest: str


def manifest_bytes(members: Mapping[str, bytes], made_from: Mapping[str, str], n_members: int) -> bytes:
    """Return the manifest of the members; the same for the same."""
    listed = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in sorted(members.items())
    }
    content = {
        "format": FORMAT,
        "version": VERSION,
        "use": RESEARCH_USE,
        "package_version": Stamp.package_version,
        "n_members": n_members,
        "made_from": dict(sorted(made_from.items())),
        "members": listed,
    }
    return (json.dumps(content, indent=2) + "\n").encode()


class Bundle:
    """An open bundle: its manifest, and its members, each checked against it as it is read."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.path = archive.path
        self.manifest = _read_manifest(archive)
        self._checked: set[str] = set()
        self._check_listed()

    def read(self, name: str) -> bytes:
        """Return a member.

        Raises:
            StoreError: there is none, or it isn't the one that the manifest lists.
        """
        if name not in self.manifest.members:
            raise refused(self.path, f"the member {name}", "none")
        data = self._archive.read(name)
        if hashlib.sha256(data).hexdigest() != self.manifest.members[name][1]:
            raise refused(self.path, f"the member {name} with the SHA-256 of {NAME}", "a changed one")
        self._checked.add(name)
        return data

    def read_json(self, name: str) -> dict[str, Any]:
        """Return a member that is a JSON object.

        Raises:
            StoreError: as `read`, or it isn't JSON.
        """
        return _json_object(self.path, name, self.read(name))

    def check(self) -> None:
        """Read every member that hasn't been read yet.

        Raises:
            StoreError: one isn't what the manifest lists.
        """
        for name in sorted(self.manifest.members.keys() - self._checked):
            self.read(name)

    def _check_listed(self) -> None:
        """Check that the file holds what the manifest lists, no more and no less, of these sizes."""
        there = {name: entry.size for name, entry in self._archive.entries.items() if name != NAME}
        for name in sorted(there.keys() ^ self.manifest.members.keys()):
            what = "an unlisted member" if name in there else "no such member"
            raise refused(self.path, f"the members that {NAME} lists", f"{what}: {name}")
        for name, size in there.items():
            if size != self.manifest.members[name][0]:
                raise refused(self.path, f"{name} of {self.manifest.members[name][0]:,} bytes", f"{size:,}")
            if size > MAX_TEXT_BYTES and not name.endswith(".safetensors"):
                raise refused(self.path, f"{name} of at most {MAX_TEXT_BYTES:,} bytes", f"{size:,}")


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """Open a bundle and check its form and its list of members.

    Raises:
        StoreError: it isn't a bundle, is of another version, or isn't whole.
    """
    with open_archive(path) as archive:
        yield Bundle(archive)


def _read_manifest(archive: Archive) -> Manifest:
    entry = archive.entries.get(NAME)
    if entry is None or entry.size > MAX_MANIFEST_BYTES:
        found = "none" if entry is None else f"one of {entry.size:,} bytes"
        raise refused(archive.path, f"{NAME} of at most {MAX_MANIFEST_BYTES:,} bytes", found)
    data = archive.read(NAME)
    content = _json_object(archive.path, NAME, data)
    _check_version(archive.path, content)
    try:
        return Manifest(
            n_members=int(content["n_members"]),
            made_from={str(name): str(digest) for name, digest in content["made_from"].items()},
            package_version=str(content["package_version"]),
            members={str(name): (int(one["bytes"]), str(one["sha256"])) for name, one in content["members"].items()},
            digest=hashlib.sha256(data).hexdigest(),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise refused(archive.path, f"{NAME} as pectl writes it", f"another one ({error!r})") from error


def _check_version(path: Path, content: Mapping[str, Any]) -> None:
    found = f"{content.get('format')} version {content.get('version')}"
    if found != f"{FORMAT} version {VERSION}":
        raise StoreError(
            where=path,
            expected=f"{FORMAT} version {VERSION}",
            found=found,
            fix="make the bundle again with this version of pectl, or use the version that made it",
        )


def _json_object(path: Path, name: str, data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise refused(path, f"JSON in {name}", f"something else ({error})") from error
    if not isinstance(content, dict):
        raise refused(path, f"a JSON object in {name}", type(content).__name__)
    return content
