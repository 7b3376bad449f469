"""Addresses on a command line."""

import pytest

from pectl.errors import PacsError
from pectl.pacs.address import Node, Peer, Web, parse_destination


def test_destinations():
    assert parse_destination("ORTHANC@127.0.0.1:4242") == Node("ORTHANC", "127.0.0.1", 4242)
    assert parse_destination("MY PACS@[::1]:104") == Node("MY PACS", "::1", 104)
    assert parse_destination("https://pacs.example:8043/dicom-web/") == Web("https://pacs.example:8043/dicom-web")


@pytest.mark.parametrize(
    "text", ["", "ORTHANC", "127.0.0.1:4242", "A@host", "A@host:0", "A@host:70000", "A" * 17 + "@h:1"]
)
def test_what_is_no_destination(text):
    with pytest.raises(PacsError, match=r"--send: expected AET@HOST:PORT or a URL, found .*; as in --send ORTHANC@127"):
        parse_destination(text)


def test_no_password_in_a_url():
    with pytest.raises(
        PacsError, match=r"found host; name host and path alone; who you are is read from ~/.netrc"
    ) as told:
        parse_destination("https://me:secret@host/x")
    assert "secret" not in str(told.value)


def test_peers():
    assert Peer.parse("CT 1@127.0.0.1") == Peer("CT 1", frozenset({"127.0.0.1"}))
    assert "127.0.0.1" in Peer.parse("CT@localhost").addresses
    with pytest.raises(PacsError, match=r"--allow: expected AET@HOST, found 127.0.0.1; as in"):
        Peer.parse("127.0.0.1")
    with pytest.raises(
        PacsError, match=r"--allow: expected a host with an address, found no address of nowhere.invalid"
    ):
        Peer.parse("CT@nowhere.invalid")
