"""What the user gives, and what is stated of volumes because their files don't say it."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_NUMBER = r"(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
_FORMULA = re.compile(rf"x(?:([*/]){_NUMBER})?(?:([+-]){_NUMBER})?")
_LARGEST = 1e6
_LARGEST_MM = 50.0


@dataclass(frozen=True)
class Stated:
    """What holds for all volume files of a run; DICOM files say it themselves.

    Attributes:
        spacing_mm: of slices, rows and columns, for files without a spacing.
        values: (slope, intercept) that make HU of the values that a file gives.
    """

    spacing_mm: tuple[float, float, float] | None = None
    values: tuple[float, float] | None = None

    def __str__(self) -> str:
        """Return what was stated, as a part of a study's identity; empty where nothing was."""
        return "" if self == Stated() else f"{self.spacing_mm} {self.values} "


class Given(NamedTuple):
    """What the user gives.

    Attributes:
        paths: folders, files, archives or a DICOMDIR.
        stated: what holds for volumes that aren't DICOM.
        dicom_alone: volumes among these files are no images, but masks of a set whose images are DICOM.
    """

    paths: Sequence[Path]
    stated: Stated = Stated()
    dicom_alone: bool = False


def parse_spacing(text: str) -> tuple[float, float, float]:
    """Read `Z,Y,X` in mm.

    Raises:
        ValueError: not three numbers from above 0 to 50.
    """
    parts = text.split(",")
    numbers = [float(part) for part in parts if re.fullmatch(_NUMBER, part.strip())]
    if len(parts) != 3 or len(numbers) != 3 or not all(0 < number <= _LARGEST_MM for number in numbers):
        raise ValueError(f"expected Z,Y,X, three steps above 0 and up to {_LARGEST_MM:g} mm, found {text!r}")
    return numbers[0], numbers[1], numbers[2]


def parse_values(text: str) -> tuple[float, float]:
    """Read a formula such as `x*1600-1000` as (slope, intercept); nothing is evaluated.

    Raises:
        ValueError: another form.
    """
    found = _FORMULA.fullmatch("".join(text.split()))
    if found is None or not any(found.groups()):
        raise ValueError(f"expected a formula such as x*1600-1000, x/2 or x-1024, found {text!r}")
    times, factor, sign, term = found.groups()
    scale, shift = float(factor or 1), float(term or 0)
    if not (0 < scale <= _LARGEST and math.isfinite(shift) and shift <= _LARGEST):
        raise ValueError(f"expected a factor above 0 and numbers up to {_LARGEST:g}, found {text!r}")
    return 1 / scale if times == "/" else scale, -shift if sign == "-" else shift
