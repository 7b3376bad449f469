"""READ (Curitiba): DICOM of two vendors, and NIfTI masks that pair by index."""

from pathlib import Path

from pectl.core.layouts.folders import name_studies
from pectl.core.layouts.layout import Layout, SetContents, met
from pectl.core.layouts.listing import find_volumes, listed
from pectl.core.places.source import PlacesSource

_IMAGES, _MASKS = "CT scans (DICOM files)", "Ground truth (pixel level segmentation - NiFTI files)"
"""As released; "NiFTI" is spelt so."""


def _recognise(folder: Path) -> str:
    both = (folder / _IMAGES).is_dir() and (folder / _MASKS).is_dir()
    return f'the folders "{_IMAGES}" and "{_MASKS}"' if both else ""


def _read(folder: Path) -> SetContents:
    folders = {path.name: path for path in listed(folder / _IMAGES, "*/*") if path.is_dir()}
    masks, second = find_volumes(folder, f"{_MASKS}/*/*.nii*", what="mask")
    named = name_studies(folders)
    return SetContents(
        images=tuple(folders.values()),
        dicom_alone=True,
        places={uid: PlacesSource("slice-index", masks[name]) for name, uid in named.study.items() if name in masks},
        patients={uid: name for name, uid in named.study.items()},
        met=(
            *named.met,
            *second,
            *met("image_without_mask", "studies without a mask; labels unknown", set(folders) - set(masks)),
            *met("mask_without_image", "masks without a study", set(masks) - set(folders)),
        ),
    )


LAYOUT = Layout(
    name="read",
    title="READ",
    source="figshare, described in Scientific Data 2023;10:518",
    licence="CC0",
    gives="a mask by study: PE by image and study, sizes",
    traps=(
        "all 40 have acute PE: no AUROC by study, but sensitivity by embolus",
        "headers of image and mask disagree in direction and slice step: slices pair by index",
    ),
    recognise=_recognise,
    read=_read,
)
