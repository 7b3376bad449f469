"""Who moves studies through the spool: closes those that have come, has them predicted, and has answers sent.

One study is predicted and one is sent at a time, each in a process of its own. What a study is waiting for is known
from its folder alone; here is only what is in hand now, and when a failed one is to be tried again.
"""

import logging
import multiprocessing
import shutil
import time
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple, Self

from pectl.bundle.unloaded import UnloadedBundle
from pectl.core.storage.workers import Helper
from pectl.errors import PectlError, StoreError
from pectl.inference.prediction import Model
from pectl.pacs.address import Node, parse_destination
from pectl.pacs.metrics import Metrics
from pectl.pacs.send import Destination, deliver
from pectl.pacs.spool import Spool, State
from pectl.steps.node.predictor import Order, load, predict_received
from pectl.steps.node.settings import Listening
from pectl.steps.predicted.folder import PredictionFolder

GRACE_SECONDS = 5.0
"""For what is in hand when a stop is asked for; what isn't finished then is done by the next start."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 2.0, 300.0
"""Before a study is tried again; each pause is twice the one before."""
MOST_DEATHS = 2
"""So often may the model's process be killed over one study."""
TIDY_SECONDS = 3600.0
_DAY = 24 * 3600.0

log = logging.getLogger(__name__)


class Hand(NamedTuple):
    """A study that is worked on."""

    study: str
    work: Future[Any]


class Retry(NamedTuple):
    """How often a study failed, and when it is to be tried again (monotonic clock)."""

    failures: int
    due: float


class Desk:
    """The studies of one node, from complete to sent."""

    def __init__(self, settings: Listening, spool: Spool, metrics: Metrics) -> None:
        self._settings, self.spool, self._metrics = settings, spool, metrics
        self.folder = PredictionFolder(settings.out)
        self._order = Order(settings.model, settings.out, settings.kinds, settings.device)
        self._model_process = Helper("the process of the model", preload="pectl.inference.reading")
        self._send_process = Helper("the process that sends", preload="pectl.inference.reading")
        self._loading: Future[None] | None = None
        self._predicting: Hand | None = None
        self._sending: Hand | None = None
        self._retries: dict[str, Retry] = {}
        self._tidied = 0.0

    def __enter__(self) -> Self:
        """Open the folder and the spool, and begin to load the model.

        Objects may come at once. While the node was away none could: a study isn't quiet until it is so from now on,
        unless the node is only to work off what is there.

        Raises:
            StoreError, LineageError: not a bundle; the folder can't be written, or is of another model.
        """
        self.model: Model = UnloadedBundle.open(self._settings.model).model
        self.folder.begin(self.model)
        self.spool.open(heard_since=0.0 if self._settings.port is None else time.time())
        self._loading = self._model_process.submit(load, self._order)
        return self

    def __exit__(self, *_: object) -> None:
        for process in multiprocessing.active_children():
            process.kill()
        self._model_process.stop()
        self._send_process.stop()

    def turn(self) -> None:
        """Do what can be done now; nothing here takes long.

        Raises:
            StoreError, LineageError, DeviceError, WorkerError: the model can't be loaded.
        """
        self._settle_loading()
        self._close_due()
        self._settle_prediction()
        self._settle_sending()
        if self._predicting is None and (study := self._next(State.COMPLETE)):
            work = self._model_process.submit(predict_received, self._order, self.spool.folder(State.COMPLETE, study))
            self._predicting = Hand(study, work)
        if self._sending is None and (study := self._next(State.PREDICTED)):
            self._sending = Hand(study, self._send_process.submit(send_answer, self._settings, study))
        self._tidy()

    def has_work(self) -> bool:
        """Tell whether a turn would do something, now or once what is in hand is done."""
        waiting = any(self._next(state) for state in (State.COMPLETE, State.PREDICTED))
        return bool(self._predicting or self._sending or waiting or self._due())

    def put_down(self) -> None:
        """Finish what is in hand, if that takes no longer than `GRACE_SECONDS`."""
        wait([hand.work for hand in (self._predicting, self._sending) if hand], timeout=GRACE_SECONDS)
        self._settle_prediction()
        self._settle_sending()

    def _due(self) -> list[str]:
        """Return the studies of which no more objects are awaited."""
        now, chosen = time.time(), self._settings
        in_hand = {hand.study for hand in (self._predicting, self._sending) if hand}
        return [
            study
            for study, coming in self.spool.coming.items()
            if study not in in_hand
            and (now - coming.last >= chosen.quiet_seconds or now - coming.first >= chosen.at_most_seconds)
        ]

    def _close_due(self) -> None:
        for study in self._due():
            before = self.spool.state(study)
            if not self.spool.close_study(study):
                log.info("%s: nothing new", study)
                continue
            if before in (State.PREDICTED, State.FAILED):  # an answer that nobody got is no predecessor
                shutil.rmtree(self.folder.dicom / study, ignore_errors=True)
            self._retries.pop(study, None)
            log.info("%s: complete%s", study, "" if before is None else f", was {before}")

    def _next(self, state: State) -> str | None:
        """Return the study that has been longest in a state, of those that needn't wait after a failure."""
        now = time.monotonic()
        ready = (one for one in self.spool.studies(state) if one not in self._retries or self._retries[one].due <= now)
        return next(ready, None)

    def _settle_loading(self) -> None:
        """End the node where the model can't be loaded."""
        if self._loading is not None and self._loading.done():
            loading, self._loading = self._loading, None
            self._model_process.value(loading)

    def _settle_prediction(self) -> None:
        """Move the study that was predicted, if it is."""
        if self._predicting is None or not self._predicting.work.done():
            return
        (study, work), self._predicting = self._predicting, None
        error = work.exception()
        if error is None:
            told = work.result()
            self.folder.look_again(told.name)
            self._move(study, State.COMPLETE, told.state, told.reason)
        elif isinstance(error, StoreError):
            self._again(study, "not predicted")
        elif isinstance(error, BrokenProcessPool):
            self._model_process.stop()
            if self._again(study, "the model's process was killed") >= MOST_DEATHS:
                self._move(study, State.COMPLETE, State.FAILED, "the process that predicted it was killed twice")
        else:
            self._move(study, State.COMPLETE, State.FAILED, _reason(error))

    def _settle_sending(self) -> None:
        """Move the study that was sent; or put it back, or give it up."""
        if self._sending is None or not self._sending.work.done():
            return
        (study, work), self._sending = self._sending, None
        error = work.exception()
        if error is None:
            self._metrics.answered(time.time() - self.spool.arrived(State.PREDICTED, study))
            self._move(study, State.PREDICTED, State.SENT)
            return
        if isinstance(error, BrokenProcessPool):
            self._send_process.stop()
        self._metrics.count("sending_failures")
        if time.time() - self.spool.since(State.PREDICTED, study) >= self._settings.give_up_seconds:
            self._move(study, State.PREDICTED, State.FAILED, _reason(error))
        else:
            self._again(study, f"not sent ({_reason(error)})")

    def _move(self, study: str, old: State, new: State, reason: str = "") -> None:
        self._retries.pop(study, None)
        self.spool.move(study, old, new, reason if new is State.FAILED else "")
        self._metrics.count(f"studies_{new}")
        log.info("%s: %s", study, new)

    def _again(self, study: str, what: str) -> int:
        """Let a study wait, each time for longer, and return how often it has failed."""
        failures = self._retries[study].failures + 1 if study in self._retries else 1
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (failures - 1), LONGEST_PAUSE_SECONDS)
        self._retries[study] = Retry(failures, time.monotonic() + pause)
        log.info("%s: %s, tried again in %.0f s", study, what, pause)
        return failures

    def _tidy(self) -> None:
        """Take away what was sent or refused long ago, once an hour."""
        now = time.time()
        if now - self._tidied < TIDY_SECONDS:
            return
        self._tidied = now
        for state in (State.SENT, State.REFUSED):
            for study in self.spool.studies(state):
                if now - self.spool.since(state, study) > self._settings.keep_days * _DAY:
                    self.spool.remove(state, study)
                    self.folder.remove(study)


def send_answer(settings: Listening, study: str) -> int:
    """Send the objects of a study, in a process of their own; return how many the receiver didn't hold yet.

    Raises:
        PacsError: the receiver can't be reached, doesn't take an object, or doesn't list one that it took.
    """
    from pectl.pacs.receive import silence

    silence()
    return deliver(_destination(settings), PredictionFolder(settings.out).dicom.joinpath(study).glob("*.dcm"))


def _destination(settings: Listening) -> Destination:
    from pectl.pacs.send_dimse import DimseDestination
    from pectl.pacs.send_web import WebDestination

    address = parse_destination(settings.send)
    if isinstance(address, Node):
        return DimseDestination(address, ae_title=settings.ae_title, tls=settings.tls)
    return WebDestination(address)


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, PectlError) else type(error).__name__
