"""`pectl listen`: what a user gets wrong."""

import pytest

GOOD = ("--model", "m.pectl", "--out", "node", "--send", "A@h:1")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ((), "give a port to listen at, or --once"),
        (("--once", "--port", "1"), "give a port to listen at, or --once"),
        (("--port", "0", "--bind", "0.0.0.0"), "who may send from beyond this machine to 0.0.0.0?"),
        (("--port", "0", "--aet", "A" * 17), "expected 1 to 16 characters"),
        (("--port", "0", "--tls-cert", "x"), "give --tls-cert, --tls-key and --tls-ca together"),
        (("--port", "0", "--dicom", "sr,x"), "found 'x'"),
    ],
)
def test_options_that_do_not_go_together(pectl, more, text):
    ended = pectl("listen", *GOOD, *more)
    assert ended.code == 2
    assert text in " ".join(ended.err.split())


def test_no_destination_and_no_model(pectl, tmp_path):
    ended = pectl("listen", *GOOD[:3], tmp_path / "node", "--send", "nobody", "--port", "0")
    assert ended.code == 1
    assert ended.err.startswith("pectl: --send: expected AET@HOST:PORT or a URL, found nobody; as in")
    assert not (tmp_path / "node").exists()
    ended = pectl(
        "listen", "--model", tmp_path / "m.pectl", "--out", tmp_path / "node", "--send", "A@h:1", "--port", "0"
    )
    assert ended.code == 1
    assert len(ended.err.strip().splitlines()) == 1
    assert "m.pectl: expected" in ended.err


def test_without_the_extra(pectl, monkeypatch, tmp_path):
    monkeypatch.setattr("pectl.pacs.extra.find_spec", lambda name: None)
    ended = pectl("listen", *GOOD[:3], tmp_path / "node", *GOOD[4:], "--port", "0")
    assert ended.code == 1
    assert "found no pynetdicom; pip install 'pectl[listen]'" in ended.err
