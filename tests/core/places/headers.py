"""Headers of slices of a series that is nowhere on disk."""

from pathlib import Path

from pectl.core.dicom.headers import SliceHeader
from pectl.core.volumes.slices import whole_file
from pectl.core.volumes.stated import Stated

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def header(k: int, name: str, *, z_mm: float, orientation: tuple[float, ...] = AXIAL) -> SliceHeader:
    """Slice `k` of 4 rows and 5 columns of 0.8 x 0.5 mm, at (-1, -2, `z_mm`)."""
    made = whole_file(Path("/nowhere") / name, Stated())
    return made._replace(
        study_uid="1.2",
        series_uid="1.2.3",
        sop_uid=f"1.2.3.{k}",
        position=(-1.0, -2.0, z_mm),
        orientation=orientation,
        pixel_spacing_mm=(0.8, 0.5),
        rows=4,
        columns=5,
    )
