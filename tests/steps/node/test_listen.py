"""The desk of a node with stubs in the place of model and receiver: what moves where, and what a failure does."""

import json
import os
import threading
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import pytest

from pectl.bundle.unloaded import UnloadedBundle
from pectl.errors import Interrupted, PacsError, StoreError
from pectl.inference.prediction import Model
from pectl.pacs.metrics import Metrics
from pectl.pacs.spool import Spool, State
from pectl.steps.node import desk
from pectl.steps.node.desk import Desk
from pectl.steps.node.listen import listen
from pectl.steps.node.predictor import Told
from pectl.steps.node.settings import Listening


class Inline:
    """A helper that does its task at once, in this process."""

    def __init__(self, name: str, *, preload: str) -> None:
        pass

    def submit(self, work, *arguments):
        done = Future()
        try:
            done.set_result(work(*arguments))
        except Exception as error:  # noqa: BLE001 - as a process hands it over
            done.set_exception(error)
        return done

    def value(self, future):
        return future.result()

    def stop(self) -> None:
        pass


class Stubs:
    """What the model says, what the receiver does, and who was asked."""

    def __init__(self) -> None:
        self.predicted: list[str] = []
        self.sent: list[str] = []
        self.told = Told(State.PREDICTED, "", "")
        self.error: Exception | None = None
        self.refusal: Exception | None = None
        self.broken: Exception | None = None

    def load(self, order):
        if self.broken is not None:
            raise self.broken

    def predict(self, order, folder):
        self.predicted.append(folder.name)
        if self.error is not None:
            raise self.error
        return self.told

    def send(self, settings, study):
        if self.refusal is not None:
            raise self.refusal
        self.sent.append(study)
        return 2


@pytest.fixture
def stubs(monkeypatch):
    one = Stubs()
    monkeypatch.setattr(desk, "Helper", Inline)
    model = Model(name="m", version="1", digest="d")
    monkeypatch.setattr(UnloadedBundle, "open", lambda bundle: SimpleNamespace(model=model))
    monkeypatch.setattr(desk, "load", one.load)
    monkeypatch.setattr(desk, "predict_received", one.predict)
    monkeypatch.setattr(desk, "send_answer", one.send)
    monkeypatch.setattr(desk, "FIRST_PAUSE_SECONDS", 0.01)
    return one


@pytest.fixture
def make_desk(tmp_path, stubs):
    def make(**more):
        chosen = {"quiet_seconds": 0.0} | more
        settings = Listening(model=tmp_path / "m", out=tmp_path / "out", send="A@h:1", **chosen)
        return Desk(settings, Spool(tmp_path / "out" / "spool"), Metrics()).__enter__()

    return make


def turns(desk, count=6):
    for _ in range(count):
        desk.turn()
        time.sleep(0.005)


def turn_until(desk, wanted):
    """Turn until the studies are in these states; a wait is a bound, as the machine may be slow."""
    deadline = time.monotonic() + 30
    while states(desk) != wanted:
        assert time.monotonic() < deadline, states(desk)
        turns(desk, 1)


def states(desk):
    return {state.value: desk.spool.studies(state) for state in State if desk.spool.studies(state)}


def test_a_study_is_predicted_once_and_sent_once(make_desk, stubs):
    desk = make_desk()
    desk.spool.put("1.2", "1.2.1", [b"x"])
    turns(desk)
    assert states(desk) == {"sent": ["1.2"]}
    desk.spool.put("1.2", "1.2.1", [b"x"])
    turns(desk)
    assert states(desk) == {"sent": ["1.2"]}
    assert (stubs.predicted, stubs.sent) == (["1.2"], ["1.2"])
    desk.spool.put("1.2", "1.2.2", [b"x"])
    turns(desk)
    assert (stubs.predicted, stubs.sent) == (["1.2"] * 2, ["1.2"] * 2)
    assert not desk.has_work()


def test_a_model_that_cannot_be_loaded_ends_the_node_and_what_came_stays(tmp_path, stubs):
    stubs.broken = StoreError(where="m.pectl", expected="the member x", found="a changed one", fix="copy it again")
    settings = Listening(model=tmp_path / "m", out=tmp_path / "out", send="A@h:1", port=0)
    Spool(tmp_path / "out" / "spool").open()
    Spool(tmp_path / "out" / "spool").put("1.2", "1.2.1", [b"x"])
    with pytest.raises(StoreError, match=r"m.pectl: expected the member x, found a changed one"):
        listen(settings)
    assert (tmp_path / "out" / "spool" / "received" / "1.2" / "1.2.1.dcm").read_bytes() == b"x"


def test_while_the_node_was_away_no_study_was_quiet(make_desk, stubs, tmp_path):
    spool = Spool(tmp_path / "out" / "spool")
    spool.open()
    spool.put("1.2", "1.2.1", [b"x"])
    path = tmp_path / "out" / "spool" / "received" / "1.2" / "1.2.1.dcm"
    os.utime(path, (time.time() - 100,) * 2)
    desk = make_desk(quiet_seconds=2.0, port=0)
    turns(desk)
    assert states(desk) == {"received": ["1.2"]}
    turn_until(desk, {"sent": ["1.2"]})


def test_quiet_and_at_most(make_desk, stubs):
    desk = make_desk(quiet_seconds=0.15, at_most_seconds=0.4)
    desk.spool.put("1.1", "1.1.1", [b"x"])
    turns(desk, 1)
    assert states(desk) == {"received": ["1.1"]}
    begun = time.time()
    while not stubs.predicted:  # never quiet
        desk.spool.put("1.2", "1.2.1", [b"x"])
        desk.spool.put("1.1", "1.1.1", [b"x"])
        desk.turn()
        time.sleep(0.02)
        assert time.time() - begun < 5
    assert time.time() - begun >= 0.35


def test_what_is_refused_is_not_sent(make_desk, stubs):
    stubs.told = Told(State.REFUSED, "not_chest: no lungs", "1.2")
    desk = make_desk()
    desk.spool.put("1.2", "1.2.1", [b"x"])
    turns(desk)
    assert states(desk) == {"refused": ["1.2"]}
    assert stubs.sent == []


def test_no_dicom_objects_is_a_failure_with_its_reason(make_desk, stubs):
    stubs.told = Told(State.FAILED, "expected a file for each slice, found several frames in one file; x", "1.2")
    desk = make_desk()
    desk.spool.put("1.2", "1.2.1", [b"x"])
    turns(desk)
    assert states(desk) == {"failed": ["1.2"]}
    assert "several frames in one file" in (desk.spool.path / "failed" / "1.2.txt").read_text()


def test_sending_is_tried_again_and_others_go_on(make_desk, stubs):
    stubs.refusal = PacsError(where="A@h:1", expected="x", found="nobody", fix="y")
    desk = make_desk()
    for study in ("1.1", "1.2"):
        desk.spool.put(study, f"{study}.1", [b"x"])
    turns(desk)
    assert states(desk) == {"predicted": ["1.1", "1.2"]}
    assert sorted(stubs.predicted) == ["1.1", "1.2"]
    stubs.refusal = None
    turn_until(desk, {"sent": ["1.1", "1.2"]})


def test_sending_is_given_up_with_the_reason(make_desk, stubs):
    stubs.refusal = PacsError(where="A@h:1", expected="to be let in", found="nobody", fix="check it")
    desk = make_desk(give_up_seconds=0.0)
    desk.spool.put("1.2", "1.2.1", [b"x"])
    turns(desk)
    assert states(desk) == {"failed": ["1.2"]}
    assert (desk.spool.path / "failed" / "1.2.txt").read_text() == (
        "A@h:1: expected to be let in, found nobody; check it\n"
    )
    stubs.refusal = None
    desk.spool.move("1.2", State.FAILED, State.PREDICTED)  # as a person does by hand
    turns(desk)
    assert states(desk) == {"sent": ["1.2"]}


def test_a_study_that_kills_the_model_is_parked(make_desk, stubs):
    stubs.error = BrokenProcessPool()
    desk = make_desk()
    desk.spool.put("1.2", "1.2.1", [b"x"])
    turn_until(desk, {"failed": ["1.2"]})
    assert stubs.predicted == ["1.2", "1.2"]
    assert "killed twice" in (desk.spool.path / "failed" / "1.2.txt").read_text()


def test_a_full_disk_keeps_the_study_and_a_bug_parks_it(make_desk, stubs):
    stubs.error = StoreError(where="x", expected="to write", found="No space left on device", fix="free space")
    desk = make_desk()
    desk.spool.put("1.2", "1.2.1", [b"x"])
    turns(desk)
    assert states(desk) == {"complete": ["1.2"]}
    stubs.error = ZeroDivisionError()
    turn_until(desk, {"failed": ["1.2"]})
    assert (desk.spool.path / "failed" / "1.2.txt").read_text() == "ZeroDivisionError\n"


def test_an_unsent_answer_is_no_predecessor_and_a_sent_one_is(make_desk, stubs):
    desk = make_desk()
    report = desk.folder.dicom / "1.2" / "sr.dcm"
    for refusal, kept in ((PacsError(where="a", expected="b", found="c", fix="d"), False), (None, True)):
        stubs.refusal = refusal
        desk.spool.put("1.2", f"1.2.{kept}", [b"x"])
        turns(desk)
        report.parent.mkdir(parents=True, exist_ok=True)
        report.touch()
        desk.spool.put("1.2", f"1.2.{kept}.1", [b"x"])
        desk.turn()
        assert report.exists() is kept
        stubs.refusal = None
        turn_until(desk, {"sent": ["1.2"]})


def test_old_studies_are_taken_away_with_their_answers(make_desk):
    desk = make_desk(keep_days=0.0)
    desk.spool.put("1.2", "1.2.1", [b"x"])
    turns(desk)
    report = desk.folder.dicom / "1.2" / "sr.dcm"
    report.parent.mkdir(parents=True)
    report.touch()
    desk._tidied = 0.0
    turns(desk, 1)
    assert states(desk) == {}
    assert not report.parent.exists()


def test_once_works_off_the_spool_and_ends(tmp_path, stubs):
    spool = Spool(tmp_path / "out" / "spool")
    spool.open()
    spool.put("1.2", "1.2.1", [b"x"])
    settings = Listening(model=tmp_path / "m", out=tmp_path / "out", send="A@h:1", quiet_seconds=0.0)
    metrics = listen(settings)
    assert stubs.sent == ["1.2"]
    assert metrics.to_json({})["counts"]["studies_sent"] == 1
    status = json.loads((tmp_path / "out" / "status.json").read_text())
    assert (status["state"], status["studies"]["sent"]) == ("done", 1)
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (told["studies"]["sent"], told["seconds_to_answer"]["n"]) == (1, 1)
    page = (tmp_path / "out" / "worklist.html").read_text()
    assert '<meta http-equiv="refresh" content="20">' in page
    assert "1 sent" in page


def test_a_stop_is_an_interruption_and_nothing_is_lost(tmp_path, stubs):
    settings = Listening(model=tmp_path / "m", out=tmp_path / "out", send="A@h:1", port=0)
    stop: list[int] = []
    ports: list[int] = []

    def ready(port):
        ports.append(port)
        threading.Timer(0.3, stop.append, (15,)).start()

    with pytest.raises(Interrupted, match=r"out: expected to listen, found a stop signal; run the command again"):
        listen(settings, stop, ready)
    assert ports[0] > 0
    assert json.loads((tmp_path / "out" / "status.json").read_text())["state"] == "interrupted"


def test_the_extra_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("pectl.pacs.extra.find_spec", lambda name: None if name == "pynetdicom" else 1)
    with pytest.raises(
        PacsError, match=r"pectl listen: expected the packages pynetdicom, .* found no pynetdicom; pip in"
    ):
        listen(Listening(model=tmp_path, out=tmp_path, send="A@h:1"))
