"""PARSE 2022: NIfTI volumes with masks of the pulmonary arteries; no label of PE."""

from pathlib import Path

from pectl.core.layouts.layout import Layout, SetContents, met
from pectl.core.layouts.listing import Volumes, find_volumes


def _images(folder: Path) -> Volumes:
    return find_volumes(folder, "train/PA*/image/PA*.nii*", what="image", name_of=_patient)


def _masks(folder: Path) -> Volumes:
    return find_volumes(folder, "train/PA*/label/PA*.nii*", what="mask", name_of=_patient)


def _patient(path: Path) -> str:
    return path.parent.parent.name


def _recognise(folder: Path) -> str:
    return "train/PA*/image/ beside train/PA*/label/" if _images(folder).file and _masks(folder).file else ""


def _read(folder: Path) -> SetContents:
    images = _images(folder)
    masks = met("vessel_masks", "masks of arteries, which say nothing of PE, aren't read", _masks(folder).file)
    return SetContents(images=tuple(images.file.values()), met=(*images.met, *masks))


LAYOUT = Layout(
    name="parse",
    title="PARSE 2022",
    source="grand challenge PARSE 2022",
    licence="as the challenge states it",
    gives="no label of PE",
    traps=("its masks are of arteries",),
    recognise=_recognise,
    read=_read,
)
