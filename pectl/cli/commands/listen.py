"""`pectl listen`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pectl.cli.commands.predict import parse_kinds
from pectl.cli.console import log_lines, say
from pectl.cli.options import DeviceOption, QuietOption

if TYPE_CHECKING:
    from pectl.pacs.tls import TlsFiles

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def listen(
    model: Annotated[Path, typer.Option("--model", metavar="FILE.pectl", help="A bundle.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the spool, the worklist and what is sent.")],
    send: Annotated[
        str, typer.Option("--send", metavar="AET@HOST:PORT|URL", help="Where answers go: a DICOM node, or DICOMweb.")
    ],
    aet: Annotated[str, typer.Option("--aet", help="AE title of this node.")] = "PECTL",
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="To listen at; 0: any.")] = None,
    bind: Annotated[str, typer.Option("--bind", help="Address to listen at; beyond loopback give --allow.")] = (
        "127.0.0.1"
    ),
    allow: Annotated[
        list[str] | None, typer.Option("--allow", metavar="AET@HOST", help="Who may send; repeatable.")
    ] = None,
    quiet_seconds: Annotated[
        float, typer.Option("--quiet-seconds", min=0, help="A study is complete when nothing came for so long.")
    ] = 60.0,
    at_most: Annotated[
        float, typer.Option("--at-most", min=0, metavar="SECONDS", help="Or so long after its first object.")
    ] = 900.0,
    give_up: Annotated[
        float, typer.Option("--give-up", min=0, metavar="HOURS", help="An answer not sent for so long has failed.")
    ] = 24.0,
    keep_days: Annotated[
        float, typer.Option("--keep-days", min=0, help="Then images and answers that were sent are taken away.")
    ] = 7.0,
    keep_free: Annotated[
        float, typer.Option("--keep-free", min=0, metavar="GB", help="Of the disk; nothing is taken in below.")
    ] = 1.0,
    kinds: Annotated[
        str, typer.Option("--dicom", metavar="KIND,...", help="What to send: any of sr, key-images, kos, heat, seg.")
    ] = "sr,key-images",
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", help="Certificate of this node, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="Its private key, PEM.")] = None,
    tls_ca: Annotated[Path | None, typer.Option("--tls-ca", help="Authority of those that it trusts, PEM.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Don't listen; work off the spool, and end.")] = False,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
) -> None:
    """Receive studies from a PACS, predict them, and send the answers back.

    Everything that is sent carries the patient's identity, and says: research use only.
    """
    from pectl.steps.node.listen import listen as run
    from pectl.steps.node.settings import Listening
    from pectl.training.stopping import stop_requests

    _check(port, bind, allow, aet, once=once)
    settings = Listening(
        model=model,
        out=out,
        send=send,
        ae_title=aet,
        port=None if once else port,
        bind=bind,
        allow=tuple(allow or ()),
        tls=_tls(tls_cert, tls_key, tls_ca),
        quiet_seconds=quiet_seconds,
        at_most_seconds=at_most,
        give_up_seconds=3600 * give_up,
        keep_free=int(keep_free * 1e9),
        keep_days=keep_days,
        kinds=parse_kinds(kinds),
        device=device,
    )
    with stop_requests() as stop, log_lines(quiet=quiet):
        run(
            settings, stop, lambda found: say(f"{aet} listens at {bind}:{found}. Research use only, not for diagnosis.")
        )
    say(f"worked off: {out / 'worklist.html'}. Research use only, not for diagnosis.")


def _check(port: int | None, bind: str, allow: list[str] | None, aet: str, *, once: bool) -> None:
    from pectl.pacs.address import is_ae_title

    if (port is None) != once:
        raise typer.BadParameter("give a port to listen at, or --once", param_hint="--port")
    if bind not in _LOOPBACK and not allow:
        raise typer.BadParameter(f"who may send from beyond this machine to {bind}?", param_hint="--allow")
    if not is_ae_title(aet):
        raise typer.BadParameter(f"expected 1 to 16 characters, found {aet!r}", param_hint="--aet")


def _tls(certificate: Path | None, key: Path | None, authority: Path | None) -> "TlsFiles | None":
    if certificate is None and key is None and authority is None:
        return None
    if certificate is None or key is None or authority is None:
        raise typer.BadParameter("give --tls-cert, --tls-key and --tls-ca together", param_hint="--tls-cert")
    from pectl.pacs.tls import TlsFiles

    return TlsFiles(certificate, key, authority)
