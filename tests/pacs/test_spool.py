"""The spool: what is put in stays, and a study changes its state by rename."""

import os
import stat

import pytest

from pectl.errors import StoreError
from pectl.pacs.spool import Spool, State, name_of


@pytest.fixture
def spool(tmp_path):
    one = Spool(tmp_path / "spool")
    one.open()
    return one


def put(spool, study, *images, content=b"x"):
    for image in images:
        spool.put(study, image, [content])


def tree(spool):
    return sorted(str(path.relative_to(spool.path)) for path in spool.path.rglob("*") if path.is_file())


def test_an_object_is_flushed_before_put_returns(spool, monkeypatch):
    flushed = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: flushed.append(stat.S_ISDIR(os.fstat(handle).st_mode)) or real(handle)
    )
    put(spool, "1.2", "1.2.1", content=b"abc")
    assert flushed == [False, True, True]  # file, its folder, the folder of a new study
    assert (spool.path / "received" / "1.2" / "1.2.1.dcm").read_bytes() == b"abc"
    put(spool, "1.2", "1.2.2")
    assert flushed[3:] == [False, True]


def test_what_cannot_be_written_leaves_nothing(spool, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        put(spool, "1.2", "1.2.1")
    assert tree(spool) == []
    assert spool.coming == {}


def test_from_received_to_sent_and_over_a_restart(spool):
    put(spool, "1.2", "1.2.1", "1.2.2")
    first, last = spool.coming["1.2"]
    assert first <= last
    (spool.path / "arriving" / "half").write_bytes(b"half")
    again = Spool(spool.path)
    again.open()
    assert tree(again) == ["received/1.2/1.2.1.dcm", "received/1.2/1.2.2.dcm"]
    assert again.coming["1.2"] == pytest.approx((first, last), abs=0.1)
    assert again.close_study("1.2")
    assert again.coming == {}
    assert again.studies(State.COMPLETE) == ["1.2"]
    again.move("1.2", State.COMPLETE, State.PREDICTED)
    again.move("1.2", State.PREDICTED, State.SENT)
    assert tree(again) == ["sent/1.2/1.2.1.dcm", "sent/1.2/1.2.2.dcm"]
    again.remove(State.SENT, "1.2")
    assert tree(again) == []


@pytest.mark.parametrize("state", [State.COMPLETE, State.PREDICTED, State.SENT, State.REFUSED])
def test_the_same_again_is_nothing_new_and_another_slice_is(spool, state):
    put(spool, "1.2", "1.2.1", "1.2.2")
    spool.close_study("1.2")
    if state is not State.COMPLETE:
        spool.move("1.2", State.COMPLETE, state)
    put(spool, "1.2", "1.2.2")
    assert not spool.close_study("1.2")
    assert spool.state("1.2") is state
    put(spool, "1.2", "1.2.1", "1.2.3")
    assert spool.close_study("1.2")
    assert tree(spool) == [f"complete/1.2/1.2.{k}.dcm" for k in (1, 2, 3)]


def test_a_changed_object_takes_the_place_of_the_old_one(spool):
    put(spool, "1.2", "1.2.1", "1.2.2")
    spool.close_study("1.2")
    put(spool, "1.2", "1.2.2", content=b"y")
    assert spool.close_study("1.2")
    assert (spool.path / "complete" / "1.2" / "1.2.2.dcm").read_bytes() == b"y"


def test_what_failed_is_done_again_if_it_comes_again(spool):
    put(spool, "1.2", "1.2.1")
    spool.close_study("1.2")
    spool.move("1.2", State.COMPLETE, State.FAILED, "no reason at all")
    assert tree(spool) == ["failed/1.2.txt", "failed/1.2/1.2.1.dcm"]
    put(spool, "1.2", "1.2.1")
    assert spool.close_study("1.2")
    assert tree(spool) == ["complete/1.2/1.2.1.dcm"]


def test_killed_while_a_late_slice_joins_the_rest(spool, monkeypatch):
    put(spool, "1.2", "1.2.1", "1.2.2", "1.2.3")
    spool.close_study("1.2")
    spool.move("1.2", State.COMPLETE, State.SENT)
    put(spool, "1.2", "1.2.4")
    (spool.path / "sent" / "1.2" / "1.2.2.dcm").rename(spool.path / "received" / "1.2" / "1.2.2.dcm")
    again = Spool(spool.path)
    again.open()
    assert again.close_study("1.2")
    assert tree(again) == [f"complete/1.2/1.2.{k}.dcm" for k in (1, 2, 3, 4)]


def test_killed_before_the_first_object_of_a_study(spool):
    (spool.path / "received" / "1.2").mkdir()
    again = Spool(spool.path)
    again.open()
    assert not again.close_study("1.2")
    assert again.studies(State.RECEIVED) == []


def test_the_order_is_that_of_coming_into_the_state(spool):
    for study in ("1.3", "1.2", "1.1"):
        put(spool, study, f"{study}.1")
        spool.close_study(study)
        os.utime(spool.folder(State.COMPLETE, study), (int(study[-1]), int(study[-1])))
    assert spool.studies(State.COMPLETE) == ["1.1", "1.2", "1.3"]
    assert spool.since(State.COMPLETE, "1.3") == 3


def test_no_uid_leaves_the_folder():
    assert name_of("1.2.840") == "1.2.840"
    for uid in ("../../etc", "..", "Doe^Jane", "a/b"):
        assert name_of(uid).startswith("unnamed-")
        assert "/" not in name_of(uid)


def test_a_spool_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/spool: expected to write the spool, found Not a directory"):
        Spool(tmp_path / "file" / "spool").open()
