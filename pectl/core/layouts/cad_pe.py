"""CAD-PE (ISBI challenge): NRRD volumes, and masks that number the emboli under names of another length."""

from pathlib import Path

from pectl.core.layouts.layout import Layout, SetContents, met
from pectl.core.places.source import PlacesSource

_MASK = "RefStd.nrrd"


def _recognise(folder: Path) -> str:
    masks = folder / "rs"
    return f"images/ beside rs/*{_MASK}" if (folder / "images").is_dir() and any(masks.glob(f"*{_MASK}")) else ""


def _mask_names(stem: str) -> tuple[str, ...]:
    """Return how the mask of an image can be called: `001` has `0001RefStd` as released, `001RefStd` in copies."""
    return (f"{int(stem):04d}{_MASK}", f"{stem}{_MASK}") if stem.isdigit() else (f"{stem}{_MASK}",)


def _read(folder: Path) -> SetContents:
    images = {path.stem: path for path in sorted((folder / "images").glob("*.nrrd"))}
    masks = {path.name: path for path in sorted((folder / "rs").glob(f"*{_MASK}"))}
    pairs = {stem: next((masks[name] for name in _mask_names(stem) if name in masks), None) for stem in images}
    used = {path for path in pairs.values() if path is not None}
    alone = [stem for stem, path in pairs.items() if path is None]
    return SetContents(
        images=tuple(images.values()),
        places={stem: PlacesSource("volume", path, numbered=True) for stem, path in pairs.items() if path is not None},
        met=(
            *met("image_without_mask", "volumes without a mask; labels unknown", alone),
            *met("mask_without_image", "masks without a volume", [p.name for p in masks.values() if p not in used]),
        ),
    )


LAYOUT = Layout(
    name="cad-pe",
    title="CAD-PE",
    source="IEEE DataPort, 10.21227/9bw7-6823",
    licence="as IEEE DataPort states it",
    gives="a mask by study, each embolus with a number of its own: PE by image and study, sizes",
    traps=(
        "`001.nrrd` has the mask `0001RefStd.nrrd`, `e0032.nrrd` has `e0032RefStd.nrrd`; copies have `001RefStd.nrrd`",
        "values of a mask are numbers of emboli, not classes",
        "nearly all studies have PE: no AUROC by study, but sensitivity by embolus",
    ),
    recognise=_recognise,
    read=_read,
)
