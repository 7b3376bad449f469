"""HiPaS: NumPy archives with HU scaled to 0...1 and no spacing; no label of PE."""

from pathlib import Path

from pectl.core.layouts.layout import Layout, SetContents
from pectl.core.layouts.listing import listed
from pectl.core.volumes.stated import Stated

_SCALE = (1600.0, -1000.0)
"""HU = 1600 x - 1000, as its README says."""


def _recognise(folder: Path) -> str:
    arteries = listed(folder / "annotation" / "artery", "*.npz")
    return "ct_scan/ beside annotation/artery/" if arteries and (folder / "ct_scan").is_dir() else ""


def _read(folder: Path) -> SetContents:
    return SetContents(images=tuple(listed(folder / "ct_scan", "*.npz")), stated=Stated(values=_SCALE))


LAYOUT = Layout(
    name="hipas",
    title="HiPaS",
    source="Zenodo 14879605",
    licence="as Zenodo states it",
    gives="no label of PE",
    traps=(
        "values are HU from -1000 to 600 as 0 to 1; they are scaled back, and what was beyond is lost",
        "spacing isn't kept: state it with `--spacing`",
    ),
    recognise=_recognise,
    read=_read,
)
