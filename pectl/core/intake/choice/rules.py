"""The rules that put the scans of a study in order."""

from collections.abc import Callable

from pectl.config import PreprocessConfig, SeriesConfig
from pectl.core.intake.choice.candidates import Candidate
from pectl.core.intake.geometry import SAME_POSITION_MM

_RULES: dict[str, tuple[str, Callable[[Candidate, SeriesConfig], float]]] = {
    "extent": (
        "covers {min_extent_mm:g} mm or more",
        lambda series, config: series.extent_mm < config.min_extent_mm - SAME_POSITION_MM,
    ),
    "no_spectral": (
        "CT numbers as scanned, then monoenergetic ones, then virtual unenhanced ones, then no HU",
        lambda series, _: series.spectral,
    ),
    "no_projection": ("no projection, reformat or slab", lambda series, _: series.projection),
    "original": ("original before derived", lambda series, _: not series.original),
    "contrast": (
        "contrast in the pixels, then a contrast agent that is named",
        lambda series, _: 2 * series.dimmer + (not series.contrast),
    ),
    "step": (
        "step of {max_step_mm:g} mm or less",
        lambda series, config: series.step_mm > config.max_step_mm + SAME_POSITION_MM,
    ),
    "kernel": ("no sharp kernel", lambda series, config: series.is_sharp(config.sharp_kernels)),
    "slices": ("most slices", lambda series, _: -len(series.position_mm)),
}
"""Each rule in words and as a number; the series with the lower number comes first."""


def describe_rules(config: PreprocessConfig) -> tuple[str, ...]:
    """Say in words by which rules a series is chosen: what it has to be, then what comes first."""
    needed = f"axial CT (leaning {config.series.max_lean_deg:g} degrees at most), {config.min_slices} slices or more"
    preferred = [_RULES[name][0].format_map(dict(config.series)) for name in config.series.prefer]
    return (needed, *preferred, "lowest SeriesInstanceUID")


def sort_key(series: Candidate, config: SeriesConfig) -> tuple[tuple[float, ...], str, str]:
    """Return what candidates are sorted by: the rules in their order, then the lowest UID."""
    return rank(series, config, config.prefer), series.uid, min(header.sop_uid for header in series.headers)


def rank(series: Candidate, config: SeriesConfig, rules: tuple[str, ...]) -> tuple[float, ...]:
    """Return a number by rule; the candidate with the lower one comes first."""
    return tuple(_RULES[name][1](series, config) for name in rules)


def decided_by(first: Candidate, second: Candidate, config: SeriesConfig) -> str:
    """Name the rule in which two candidates differ first."""
    ranks = zip(config.prefer, rank(first, config, config.prefer), rank(second, config, config.prefer), strict=True)
    return next((name for name, ours, theirs in ranks if ours != theirs), "lowest UID")
