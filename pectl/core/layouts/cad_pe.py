"""CAD-PE (ISBI challenge): NRRD volumes, and masks that number the emboli under names of another length."""

from pathlib import Path

from pectl.core.labels.names import RELEASED_SPLIT
from pectl.core.layouts.layout import Layout, SetContents, met, table_of
from pectl.core.layouts.listing import listed
from pectl.core.places.source import PlacesSource

_MASK = "RefStd.nrrd"
_TRAINED, _TESTED = range(1, 21), range(21, 41)
"""Numbers of the volumes that the challenge gave out to train on, and those it tested on."""


def _recognise(folder: Path) -> str:
    masks = listed(folder / "rs", f"*{_MASK}")
    return f"images/ beside rs/*{_MASK}" if (folder / "images").is_dir() and masks else ""


def _mask_names(stem: str) -> tuple[str, ...]:
    """Return how the mask of an image can be called: `001` has `0001RefStd` as released, `001RefStd` in copies."""
    stems = (f"{int(stem):04d}", stem) if stem.isdigit() else (stem,)
    return tuple(f"{one}{_MASK}" for one in dict.fromkeys(stems))


def _challenge_split(stem: str) -> str:
    number = int(stem) if stem.isdigit() else 0
    return "train" if number in _TRAINED else "test" if number in _TESTED else ""


def _read(folder: Path) -> SetContents:
    images = {path.stem: path for path in listed(folder / "images", "*.nrrd")}
    masks = {path.name: path for path in listed(folder / "rs", f"*{_MASK}")}
    named = {stem: [name for name in _mask_names(stem) if name in masks] for stem in images}
    used = {stem: masks[names[0]] for stem, names in named.items() if names}
    second = [name for names in named.values() for name in names[1:]]
    split = {stem: _challenge_split(stem) for stem in images}
    strange = set(masks).difference(*named.values())
    return SetContents(
        images=tuple(images.values()),
        columns=table_of({stem: {RELEASED_SPLIT: part} for stem, part in split.items()}, (RELEASED_SPLIT,)),
        places={stem: PlacesSource("volume", path, numbered=True) for stem, path in used.items()},
        met=(
            *met("image_without_mask", "volumes without a mask; labels unknown", set(images) - set(used)),
            *met("second_mask", "masks of volumes that have one of four digits, which is used, as released", second),
            *met("mask_without_image", "masks without a volume", strange),
            *met(
                "without_split", "volumes that weren't in the challenge", [s for s, part in split.items() if not part]
            ),
        ),
    )


LAYOUT = Layout(
    name="cad-pe",
    title="CAD-PE",
    source="IEEE DataPort, 10.21227/9bw7-6823",
    licence="as IEEE DataPort states it",
    gives="a mask by study, each embolus with a number of its own: PE by image and study, sizes; the challenge's split",
    traps=(
        "`001.nrrd` has the mask `0001RefStd.nrrd`, `e0032.nrrd` has `e0032RefStd.nrrd`; copies have `001RefStd.nrrd`",
        "where both `0001RefStd.nrrd` and `001RefStd.nrrd` are there, the first is used and the other is named",
        "`001` to `020` were given out to train on, `021` to `040` were tested on; the others were in neither",
        "values of a mask are numbers of emboli, not classes",
        "nearly all studies have PE: no AUROC by study, but sensitivity by embolus",
    ),
    recognise=_recognise,
    read=_read,
)
