"""A cohort of `pectl phantom`: RSPECT's files, and beside them the masks that each study was made with."""

from dataclasses import replace
from pathlib import Path

from pectl.core.layouts.layout import Layout, SetContents
from pectl.core.layouts.listing import listed
from pectl.core.layouts.rspect import IMAGES, LABELS, is_rspect, read_rspect
from pectl.core.places.source import PlacesSource

_TRUTH = "truth"


def _recognise(folder: Path) -> str:
    return f"{_TRUTH}/*.npz beside {LABELS} and {IMAGES}/" if is_rspect(folder) and _truth(folder) else ""


def _truth(folder: Path) -> list[Path]:
    return listed(folder / _TRUTH, "*.npz")


def _read(folder: Path) -> SetContents:
    places = {path.stem: PlacesSource("phantom", path, labels=False) for path in _truth(folder)}
    return replace(read_rspect(folder), places=places)


LAYOUT = Layout(
    name="phantom",
    title="Phantoms",
    source="pectl phantom",
    licence="as pectl",
    gives="all nine exam labels by study, PE by image, and the masks of all emboli",
    traps=("PE on an image needs `phantom.present_area_mm2`; masks have less than that too",),
    recognise=_recognise,
    read=_read,
)
