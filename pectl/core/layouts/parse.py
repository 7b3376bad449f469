"""PARSE 2022: NIfTI volumes with masks of the pulmonary arteries; no label of PE."""

from pathlib import Path

from pectl.core.layouts.layout import Layout, SetContents, met


def _volumes(folder: Path, kind: str) -> dict[str, Path]:
    return {path.parent.parent.name: path for path in sorted(folder.glob(f"train/PA*/{kind}/PA*.nii*"))}


def _recognise(folder: Path) -> str:
    return "train/PA*/image/ beside train/PA*/label/" if _volumes(folder, "image") and _volumes(folder, "label") else ""


def _read(folder: Path) -> SetContents:
    images, masks = _volumes(folder, "image"), _volumes(folder, "label")
    return SetContents(
        images=tuple(images.values()),
        met=(*met("vessel_masks", "masks of arteries, which say nothing of PE, aren't read", masks),),
    )


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
