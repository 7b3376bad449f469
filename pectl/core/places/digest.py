"""The identity of the masks and boxes that a store is made with."""

from collections.abc import Mapping
from pathlib import Path

from pectl.config import PlacesConfig
from pectl.core.places.source import PlacesSource
from pectl.core.storage.files import file_digest
from pectl.core.storage.stamp import digest_of
from pectl.core.volumes.formats import check_readable, suffix_of
from pectl.errors import InputMissingError

NO_PLACES = "none"
"""Identity of masks and boxes where there are none."""


def places_digest(places: Mapping[str, PlacesSource], config: PlacesConfig) -> str:
    """Return the identity of all masks and boxes, and of how labels come from them.

    Raises:
        InputMissingError: a file isn't there, or what reads it isn't installed.
    """
    if not places:
        return NO_PLACES
    for suffix in {suffix_of(source.path) for source in places.values()} - {""}:
        check_readable(suffix)
    digests = {path: _file_digest(path) for path in {source.path for source in places.values()}}
    parts = {
        uid: [source.kind, source.numbered, source.complete, source.labels, digests[source.path]]
        for uid, source in places.items()
    }
    return digest_of("places", parts, config.digest())


def _file_digest(path: Path) -> str:
    try:
        return file_digest(path)
    except FileNotFoundError as error:
        raise InputMissingError(
            where=path, expected="a file of masks or boxes", found="no such file", fix="check the layout of the set"
        ) from error
