"""FUMPE: DICOM folders by patient, and MATLAB masks whose slices follow the names of the files."""

from pathlib import Path

from pectl.core.layouts.folders import name_studies
from pectl.core.layouts.layout import Layout, SetContents, met
from pectl.core.layouts.listing import listed
from pectl.core.places.source import PlacesSource


def _recognise(folder: Path) -> str:
    masks = listed(folder / "GroundTruth", "*.mat")
    return "CT_scans/ beside GroundTruth/*.mat" if (folder / "CT_scans").is_dir() and masks else ""


def _read(folder: Path) -> SetContents:
    folders = {path.name: path for path in listed(folder / "CT_scans", "*") if path.is_dir()}
    masks = {path.stem: path for path in listed(folder / "GroundTruth", "*.mat")}
    named = name_studies(folders)
    return SetContents(
        images=tuple(folders.values()),
        dicom_alone=True,
        places={uid: PlacesSource("file-order", masks[name]) for name, uid in named.study.items() if name in masks},
        patients={uid: name for name, uid in named.study.items()},
        met=(
            *named.met,
            *met("image_without_mask", "patients without a mask; labels unknown", set(folders) - set(masks)),
            *met("mask_without_image", "masks without a patient", set(masks) - set(folders)),
        ),
    )


LAYOUT = Layout(
    name="fumpe",
    title="FUMPE",
    source="figshare, 10.6084/m9.figshare.c.4107803",
    licence="CC BY 4.0",
    gives="a mask by study: PE by image and study, sizes",
    traps=(
        "slice k of a mask belongs to the k-th file by name, which for some patients runs against the position",
        "two of the 35 masks are empty: these patients have no PE",
        "the two without PE alone have a slice step of 1.5 mm, which gives the answer away",
    ),
    recognise=_recognise,
    read=_read,
)
