"""Where a public set says the emboli of a study lie."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["volume", "file-order", "slice-index", "boxes", "phantom"]


@dataclass(frozen=True)
class PlacesSource:
    """Masks or boxes of one study, as a set gives them (picklable: worker processes read it).

    Attributes:
        kind: `volume`: a mask volume (NRRD, NIfTI) in the frame of its own header, voxel by voxel
            that of the image (CAD-PE; numbers 1...n are emboli); `file-order`: MATLAB variable
            `Mask` (row, column, slice), slice k belongs to the k-th file name of the series
            (FUMPE); `slice-index`: a NIfTI mask whose slices pair by index with the slices sorted
            by position, whatever the headers say (READ); `boxes`: rows of a table of boxes by
            SOPInstanceUID (augmented RSPECT); `phantom`: the truth of a phantom, which says where it lies.
        path: of the mask file, or of the table of boxes.
        numbered: whether the values number the emboli; otherwise components (26 neighbours) do.
        complete: whether what isn't marked is known to be free of emboli (masks: yes), so that
            image labels 0 and a negative exam follow.
        labels: whether labels follow from what is marked; not where the set says of each image what it shows.
    """

    kind: Kind
    path: Path
    numbered: bool = False
    complete: bool = True
    labels: bool = True
