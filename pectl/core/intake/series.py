"""The choice of one axial CT series of a study, with its reason; the rest goes out by name."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pectl.config import PreprocessConfig, SeriesConfig
from pectl.core.dicom.headers import SliceHeader
from pectl.core.dicom.vocabulary import PROJECTION_WORDS, SCOUT_WORDS
from pectl.core.intake.findings import CODES, Finding
from pectl.errors import StudyRefusedError

SAME_POSITION_MM = 0.05
"""Slices closer than this lie at one position; the thinnest CT slices are 0.3 mm apart."""
_MOST_NAMED = 5


@dataclass(frozen=True)
class Candidate:
    """An axial CT series that could be used, and what the rules look at."""

    uid: str
    headers: tuple[SliceHeader, ...]

    @cached_property
    def position_mm(self) -> NDArray[np.float64]:
        """Return the different positions along the normal of the first slice, ascending."""
        row, column = np.reshape(self.headers[0].orientation or (1, 0, 0, 0, 1, 0), (2, 3))
        along = np.array([header.position or (0, 0, 0) for header in self.headers]) @ np.cross(row, column)
        ordered = np.sort(along)
        distinct: NDArray[np.float64] = ordered[np.diff(ordered, prepend=-np.inf) >= SAME_POSITION_MM]
        return distinct

    @property
    def step_mm(self) -> float:
        """Return the median step; 0 for a single position."""
        return float(np.median(np.diff(self.position_mm))) if len(self.position_mm) > 1 else 0.0

    @property
    def extent_mm(self) -> float:
        """Return what the slices cover along the normal."""
        return float(self.position_mm[-1] - self.position_mm[0]) + self.step_mm

    @property
    def original(self) -> bool:
        """Tell whether most slices are ORIGINAL (ImageType, value 1); without a type they count as such."""
        derived = sum(bool(header.image_type) and header.image_type[0] != "ORIGINAL" for header in self.headers)
        return 2 * derived < len(self.headers)

    @property
    def projection(self) -> bool:
        """Tell whether ImageType names a projection or a reformat."""
        return any(word in PROJECTION_WORDS for word in self.headers[len(self.headers) // 2].image_type)

    @property
    def contrast(self) -> bool:
        """Tell whether a ContrastBolusAgent is named."""
        return any(header.contrast for header in self.headers)

    @property
    def kernel(self) -> str:
        """Return ConvolutionKernel."""
        return self.headers[0].kernel

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
        return ", ".join([*parts, "a projection or reformat"] if self.projection else parts)


_RULES: dict[str, tuple[str, Callable[[Candidate, SeriesConfig], float]]] = {
    "extent": ("covers {min_extent_mm:g} mm or more", lambda series, config: series.extent_mm < config.min_extent_mm),
    "original": ("original before derived", lambda series, _: not series.original),
    "no_projection": ("no projection or reformat", lambda series, _: series.projection),
    "contrast": ("a contrast agent is named", lambda series, _: not series.contrast),
    "step": ("step of {max_step_mm:g} mm or less", lambda series, config: series.step_mm > config.max_step_mm),
    "kernel": ("no sharp kernel", lambda series, config: series.is_sharp(config.sharp_kernels)),
    "slices": ("most slices", lambda series, _: -len(series.position_mm)),
}
"""Each rule in words and as a number; the series with the lower number comes first."""


@dataclass(frozen=True)
class SeriesChoice:
    """The slices to use, why these, and what was left out or is worth knowing."""

    headers: tuple[SliceHeader, ...]
    reason: str
    findings: tuple[Finding, ...]


def describe_rules(config: PreprocessConfig) -> tuple[str, ...]:
    """Say in words by which rules a series is chosen: what it has to be, then what comes first."""
    needed = f"axial CT (leaning {config.series.max_lean_deg:g} degrees at most), {config.min_slices} slices or more"
    preferred = [_RULES[name][0].format_map(dict(config.series)) for name in config.series.prefer]
    return (needed, *preferred, "lowest SeriesInstanceUID")


def choose_series(headers: Iterable[SliceHeader], config: PreprocessConfig) -> SeriesChoice:
    """Choose among the axial CT series of enough slices the one that the configured rules put first.

    Raises:
        StudyRefusedError: there is none; the message counts what there is.
    """
    excluded: Counter[str] = Counter()
    usable: dict[str, list[SliceHeader]] = defaultdict(list)
    for header in headers:
        if code := exclusion(header, max_lean_deg=config.series.max_lean_deg):
            excluded[code] += 1
        else:
            usable[header.series_uid].append(header)
    series = [Candidate(uid, tuple(slices)) for uid, slices in sorted(usable.items())]
    candidates = [one for one in series if len(one.position_mm) >= config.min_slices]
    if not candidates:
        raise _nothing_usable(series, excluded, config.min_slices)
    ranked = sorted(candidates, key=lambda one: (_rank(one, config.series), one.uid))
    left_out = [f"{count} {code}" for code, count in sorted(excluded.items())]
    left_out += [_short(one) for one in series if one not in candidates]
    return SeriesChoice(
        headers=ranked[0].headers,
        reason=_reason(ranked, left_out, config.series),
        findings=tuple(_findings(ranked, config.series)),
    )


def exclusion(header: SliceHeader, *, max_lean_deg: float) -> str | None:
    """Return the code of why an image can't be an axial CT slice, or None."""
    if header.modality != "CT":
        return "not_ct"
    if any(scout in word for word in header.image_type for scout in SCOUT_WORDS):
        return "localizer"
    if header.rows == 0 or header.columns == 0:
        return "no_image"
    if header.samples != 1:
        return "screen_capture"
    if None in (header.position, header.orientation, header.pixel_spacing_mm):
        return _without_geometry(header)
    return None if lean_deg(header) <= max_lean_deg else "not_axial"


def _without_geometry(header: SliceHeader) -> str:
    if header.frames > 1:
        return "multi_frame"
    return "screen_capture" if "SECONDARY" in header.image_type else "no_geometry"


def lean_deg(header: SliceHeader) -> float:
    """Return the angle between the image plane and the axial plane, 0 to 90 degrees; 90 for unusable axes."""
    row, column = np.reshape(header.orientation or (0.0,) * 6, (2, 3))
    normal = np.cross(row, column)
    length = float(np.linalg.norm(normal))
    if not 0.9 < length < 1.1:
        return 90.0
    return float(np.degrees(np.arccos(min(1.0, abs(normal[2]) / length))))


def _rank(series: Candidate, config: SeriesConfig) -> tuple[float, ...]:
    return tuple(_RULES[name][1](series, config) for name in config.prefer)


def _decided_by(first: Candidate, second: Candidate, config: SeriesConfig) -> str:
    """Name the rule in which two candidates differ first."""
    ranks = zip(config.prefer, _rank(first, config), _rank(second, config), strict=True)
    return next((name for name, ours, theirs in ranks if ours != theirs), "lowest UID")


def _short(series: Candidate) -> str:
    n_images, n_positions = len(series.headers), len(series.position_mm)
    where = "" if n_images == n_positions else f" at {_counted(n_positions, 'position')}"
    return f"series of {_counted(n_images, 'slice')}{where}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _reason(ranked: list[Candidate], left_out: list[str], config: SeriesConfig) -> str:
    text = ranked[0].describe()
    if len(ranked) > 1:
        others = [
            f"{other.uid} by {_decided_by(ranked[0], other, config)} ({other.describe()})"
            for other in ranked[1 : 1 + _MOST_NAMED]
        ]
        text += f"; first of {len(ranked)} candidates, before {'; '.join(others)}"
    return f"{text}; left out: {', '.join(left_out)}" if left_out else text


def _findings(ranked: list[Candidate], config: SeriesConfig) -> Iterable[Finding]:
    if len(ranked) > 1:
        rule = _decided_by(ranked[0], ranked[1], config)
        others = ", ".join(str(len(other.position_mm)) for other in ranked[1:])
        yield Finding("several_series", f"{len(ranked[0].position_mm)} slices taken by {rule}, others of {others}")
    if not ranked[0].original:
        yield Finding("derived_series", "/".join(ranked[0].headers[0].image_type[:4]))


def _nothing_usable(series: list[Candidate], excluded: Counter[str], min_slices: int) -> StudyRefusedError:
    found = [f"{count} x {code} ({CODES[code][1]})" for code, count in excluded.most_common()]
    found += [_short(one) for one in series]
    code = "too_few_slices" if series else next(iter(excluded.most_common()), ("no_image", 0))[0]
    return StudyRefusedError(
        code,
        where="series choice",
        expected=f"an axial CT series of {min_slices} slices or more",
        found="; ".join(found) or "no image",
        fix="export the axial series of the chest",
    )
