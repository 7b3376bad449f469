"""What can be chosen among: axial CT scans, and what the rules of the choice look at."""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np

from pectl.core.dicom.headers import SliceHeader
from pectl.core.dicom.vocabulary import HU_WORDS, PROJECTION_WORDS
from pectl.core.intake.geometry import Vector, along_normal, distinct, median_step

_SLAB_STEPS, _SLAB_MM = 2.5, 3.0
"""Slices that overlap by more than this, and are thicker, are slabs: scans overlap by half, or are thin."""


@dataclass(frozen=True)
class Candidate:
    """An axial CT scan that could be used: a series, one pass of several in it, or several that continue each other.

    Attributes:
        uid: SeriesInstanceUID, of several the one with the most slices.
        headers: its slices.
        n_passes: how many passes its series hold.
        n_images: how many images its series hold.
        told_by: the attributes that tell these passes apart.
        dimmer: less contrast in the pixels than in those of another candidate of the same place.
    """

    uid: str
    headers: tuple[SliceHeader, ...]
    n_passes: int = 1
    n_images: int = 0
    told_by: tuple[str, ...] = ()
    dimmer: bool = False

    @cached_property
    def position_mm(self) -> Vector:
        """Return the different positions along the normal of the first slice, ascending."""
        return distinct(along_normal(self.headers))

    @cached_property
    def step_mm(self) -> float:
        """Return the median step; 0 for a single position."""
        return median_step(self.position_mm)

    @property
    def extent_mm(self) -> float:
        """Return what the slices cover along the normal."""
        return float(self.position_mm[-1] - self.position_mm[0]) + self.step_mm

    @cached_property
    def thickness_mm(self) -> float:
        """Return the median SliceThickness, 0 where none is given."""
        return float(np.median([header.slice_thickness_mm or 0.0 for header in self.headers]))

    @cached_property
    def original(self) -> bool:
        """Tell whether most slices are ORIGINAL (ImageType, value 1); without a type they count as such."""
        return not self._most(lambda header: bool(header.image_type) and header.image_type[0] != "ORIGINAL")

    @cached_property
    def projection(self) -> bool:
        """Tell whether ImageType names a projection or a reformat, or the slices are slabs that overlap."""
        slab = self.thickness_mm > max(_SLAB_STEPS * self.step_mm, _SLAB_MM) and self.step_mm > 0
        return slab or self._most(lambda header: any(word in PROJECTION_WORDS for word in header.image_type))

    @cached_property
    def content(self) -> str:
        """Return what the values of most slices are; empty for CT numbers as scanned."""
        words = [header.content for header in self.headers]
        return max(sorted(set(words)), key=words.count)

    @property
    def spectral(self) -> int:
        """Return how far the values are from CT numbers: 0 they are, 1 monoenergetic, 2 unenhanced, 3 no HU."""
        return HU_WORDS.index(self.content) if self.content in HU_WORDS else len(HU_WORDS)

    @cached_property
    def contrast(self) -> bool:
        """Tell whether a ContrastBolusAgent is named."""
        return any(header.contrast for header in self.headers)

    @property
    def kernel(self) -> str:
        """Return ConvolutionKernel."""
        return self.headers[0].kernel

    @property
    def series(self) -> dict[str, int]:
        """Return the number of slices by SeriesInstanceUID, those with the most first."""
        uids = [header.series_uid for header in self.headers]
        return {uid: uids.count(uid) for uid in sorted(set(uids), key=lambda uid: (-uids.count(uid), uid))}

    def is_sharp(self, patterns: tuple[str, ...]) -> bool:
        """Tell whether the kernel fits one of the patterns of sharp kernels."""
        return any(fnmatchcase(self.kernel.upper(), pattern) for pattern in patterns)

    def describe(self) -> str:
        """Say in words what the rules look at."""
        parts = [
            f"{'original' if self.original else 'derived'} axial CT of {len(self.position_mm)} slices",
            f"every {self.step_mm:.3g} mm over {self.extent_mm:.0f} mm",
            f"kernel {self.kernel or 'not named'}",
            f"contrast agent {'' if self.contrast else 'not '}named",
        ]
        parts += ["less contrast in its pixels"] if self.dimmer else []
        parts += [f"values {self.content}"] if self.content else []
        return ", ".join([*parts, "a projection, reformat or slab"] if self.projection else parts)

    def _most(self, holds: Callable[[SliceHeader], bool]) -> bool:
        return 2 * sum(map(holds, self.headers)) >= len(self.headers)
