"""The index on disk: keyed, versioned, claimed by one job at a time; a damaged part is no part."""

import gzip
import json
import os
import socket
import stat
import time
from pathlib import Path

import pytest

from pectl.core.dicom import header_cache
from pectl.core.dicom.header_cache import HeaderCache, Known
from pectl.core.dicom.sources import FileEntry
from pectl.errors import StoreError

ENTRY = FileEntry(Path("/data/DOE_JANE/1.dcm"), 5, 6)


@pytest.fixture
def cache(tmp_path):
    return HeaderCache(tmp_path / "index")


def part_of(cache):
    return cache._path("ab12")


def test_a_part_comes_back(cache):
    cache.write("ab12", [(ENTRY, Known("dicom", [["1.2", 3]], 1))])
    assert cache.read("ab12") == {(cache.place(ENTRY.path), 5, 6): Known("dicom", [["1.2", 3]], 1)}
    assert cache.read("cd34") == {}
    data = json.loads(gzip.decompress(part_of(cache).read_bytes()))
    assert (data["format"], data["version"]) == ("pectl-dicom-index", 1)
    assert data["fields"][:2] == ["transfer_syntax", "pixel_offset"]
    assert "path" not in data["fields"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-9],
        lambda content: b"",
        lambda content: b"text",
        lambda content: gzip.compress(b"[]"),
        lambda content: gzip.compress(gzip.decompress(content).replace(b'"version":1', b'"version":2')),
        lambda content: gzip.compress(gzip.decompress(content).replace(b'"rows"', b'"raws"')),
        lambda content: gzip.compress(gzip.decompress(content).replace(b",5,6,", b",")),
    ],
)
def test_a_damaged_or_other_part_is_read_anew(cache, damage):
    cache.write("ab12", [(ENTRY, Known("other", []))])
    whole = part_of(cache).read_bytes()
    assert damage(whole) != whole
    part_of(cache).write_bytes(damage(whole))
    assert cache.read("ab12") == {}


def test_tokens_depend_on_the_key_and_join_what_is_the_same(tmp_path, cache):
    same, other = HeaderCache(tmp_path / "index"), HeaderCache(tmp_path / "other")
    assert cache.patient(" Doe123 ") == same.patient("doe123") != other.patient("doe123")
    assert cache.place(ENTRY.path) == same.place(ENTRY.path) != other.place(ENTRY.path)
    assert cache.patient("doe123") != cache.patient("doe124")
    assert [cache.patient(name) for name in ("", "0", "Anonymous")] == ["", "", ""]
    assert stat.S_IMODE((tmp_path / "index" / "key").stat().st_mode) == 0o600


def test_a_part_is_claimed_by_one(cache, tmp_path):
    other = HeaderCache(tmp_path / "index")
    assert cache.claim("ab12")
    assert not other.claim("ab12")
    cache.release("ab12")
    assert other.claim("ab12")


@pytest.mark.parametrize(
    ("text", "age", "free"),
    [
        (f"{socket.gethostname()} 999999999", 0, True),  # no such process
        (f"{socket.gethostname()} {os.getpid()}", 1000, False),
        ("elsewhere 7", 0, False),
        ("elsewhere 7", 1000, True),
    ],
)
def test_a_claim_of_the_dead_is_void(cache, text, age, free):
    claim = cache._claim_path("ab12")
    claim.parent.mkdir(parents=True)
    claim.write_text(text)
    os.utime(claim, (time.time() - age, time.time() - age))
    assert cache.claim("ab12") is free


def test_a_damaged_key_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(header_cache, "_KEY_TRIES", 2)
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(StoreError, match="key: expected 32 bytes, found 5; delete the folder of the index"):
        HeaderCache(tmp_path)


def test_an_index_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "index").write_text("a file")
    with pytest.raises(StoreError, match=r"to keep the index of the files here, found .*; choose another folder with"):
        HeaderCache(tmp_path / "index")
