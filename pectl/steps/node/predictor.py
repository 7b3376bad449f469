"""The model of `listen`, in a process of its own: it is loaded once, and receiving goes on while it works."""

from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from pectl.core.storage.workers import Helper
from pectl.core.volumes.stated import Given
from pectl.errors import InputMissingError
from pectl.pacs.spool import State
from pectl.steps.predict_studies import find_tickets, read_ticket
from pectl.steps.predicted.folder import PredictionFolder, name_of
from pectl.steps.predicted.one import StudyPredictor

if TYPE_CHECKING:  # torch comes with them, and the process that receives needs none
    from pectl.inference.device import DeviceName
    from pectl.inference.instrument import Instrument


class Order(NamedTuple):
    """With which model to predict, on what device, and what to write where."""

    model: Path
    out: Path
    kinds: tuple[str, ...]
    device: "DeviceName"


class Told(NamedTuple):
    """What came of a study: its next state, why it is refused or failed, and the name of its files."""

    state: State
    reason: str
    name: str


def load(order: Order) -> None:
    """Load the model, so that the first study needn't wait for it.

    Raises:
        StoreError, LineageError: a byte of the bundle was changed; the folder is of another model.
        DeviceError: no such device.
    """
    _loaded(order)


def predict_received(order: Order, study: Path) -> Told:
    """Predict a study of the spool, and write its DICOM objects.

    Args:
        order: how.
        study: its folder.

    Raises:
        StoreError: the disk is full.
    """
    loaded = _loaded(order)
    with TemporaryDirectory(prefix="pectl-") as index:
        try:
            found = loaded.helper.submit(find_tickets, Given([study]), Path(index)).result()
        except InputMissingError as error:
            return Told(State.REFUSED, f"expected {error.expected}, found {error.found}", "")
    ticket = found.tickets[0]  # a folder of the spool holds one study
    read = next(loaded.helper.results(partial(read_ticket, config=loaded.instrument.preprocess), [ticket]))
    prediction, why_no_dicom = loaded.predictor.predict(ticket, read)
    if prediction.state == "refused":
        first = prediction.findings[0]
        return Told(State.REFUSED, f"{first.code}: {first.detail}", name_of(ticket))
    return Told(State.FAILED if why_no_dicom else State.PREDICTED, why_no_dicom, name_of(ticket))


class _Loaded(NamedTuple):
    """What stays in the process from one study to the next."""

    instrument: "Instrument"
    folder: PredictionFolder
    predictor: StudyPredictor
    helper: Helper


@cache
def _loaded(order: Order) -> _Loaded:
    from pectl.bundle.load import load_bundle
    from pectl.dicom_output.result import Kind

    instrument, folder = load_bundle(order.model), PredictionFolder(order.out)
    folder.begin(instrument.model)
    kinds = tuple(map(Kind, order.kinds))
    predictor = StudyPredictor(instrument, folder, device=order.device, kinds=kinds)
    return _Loaded(
        instrument, folder, predictor, Helper("the process that reads studies", preload="pectl.inference.reading")
    )
