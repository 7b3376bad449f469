"""A DICOM node that answers: studies come in, are predicted once they are complete, and their answers go out.

Three hands work beside each other: the receiver in threads of this process, the model in a process of its own, and the
sender in another. Only this process moves the studies of the spool.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pectl.core.storage.holder import refuse_if_held
from pectl.core.storage.status import StatusFile
from pectl.errors import Interrupted
from pectl.pacs.address import Peer, parse_destination
from pectl.pacs.extra import check_extra
from pectl.pacs.metrics import Metrics
from pectl.pacs.spool import Spool
from pectl.steps.node.desk import Desk
from pectl.steps.node.settings import Listening
from pectl.steps.node.watch import Watch

TURN_SECONDS = 0.2
"""Between two looks at the spool."""


def listen(settings: Listening, stop: Sequence[int] = (), ready: Callable[[int], None] = lambda port: None) -> Metrics:
    """Receive, predict and answer until a stop is asked for; without a port until the spool is worked off.

    Args:
        settings: how.
        stop: is filled by who asks for a stop.
        ready: called with the port once the node listens.

    Returns:
        What was done.

    Raises:
        PacsError: the extra isn't installed, or an address can't be used.
        HeldError: another command is at work in the folder.
        StoreError, LineageError, DeviceError: the model can't be used here.
        Interrupted: a stop was asked for; the spool holds what is left.
    """
    check_extra()
    parse_destination(settings.send)
    status = StatusFile(settings.out / "status.json")
    refuse_if_held(status.path)
    spool, metrics = Spool(settings.out / "spool"), Metrics()
    with Desk(settings, spool, metrics) as desk:
        watch = Watch(settings.out, desk, metrics, status)
        with _receiving(settings, spool, metrics) as port:
            if port is not None:
                ready(port)
            while not stop and (port is not None or desk.has_work()):
                desk.turn()
                watch.look()
                time.sleep(TURN_SECONDS)
        desk.put_down()
        watch.look(last=True)
    status.end("interrupted" if stop else "done")
    if stop:
        raise Interrupted(
            where=settings.out,
            expected="to listen",
            found="a stop signal",
            fix="run the command again; it goes on where it stopped",
        )
    return metrics


@contextmanager
def _receiving(settings: Listening, spool: Spool, metrics: Metrics) -> Iterator[int | None]:
    """Listen while the block lasts, and yield the port; None where the node is only to work off its spool."""
    if settings.port is None:
        yield None
        return
    from pectl.dicom_output.made_by import is_made_here
    from pectl.pacs.receive import Door, Head, Receiver

    def is_own(head: Head) -> bool:
        return is_made_here(manufacturer=head.manufacturer, sop_instance_uid=head.image)

    door = Door(
        ae_title=settings.ae_title,
        port=settings.port,
        bind=settings.bind,
        peers=tuple(map(Peer.parse, settings.allow)),
        tls=settings.tls,
        keep_free=settings.keep_free,
        is_own=is_own,
    )
    with Receiver(door, spool, metrics) as receiver:
        yield receiver.port
