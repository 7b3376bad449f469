"""The choice among the axial CT scans of a study, with its reason; the rest goes out by name."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pectl.config import PreprocessConfig, SeriesConfig
from pectl.core.dicom.headers import SliceHeader
from pectl.core.dicom.vocabulary import SCOUT_WORDS
from pectl.core.intake.choice.assembly import assemble
from pectl.core.intake.choice.brightness import mark_dimmer
from pectl.core.intake.choice.candidates import Candidate
from pectl.core.intake.choice.rules import decided_by, rank, sort_key
from pectl.core.intake.findings import CODES, Finding
from pectl.core.intake.geometry import lean_deg
from pectl.errors import StudyRefusedError

_SAME_DEG = 0.05
_MOST_NAMED = 5


@dataclass(frozen=True)
class SeriesChoice:
    """One scan to try, why it comes at its place, and what was left out or is worth knowing.

    Attributes:
        scan: the slices.
        place: 0 for the scan that the rules put first.
        ranked: all candidates in their order.
        left_out: what can't be one, in words.
        config: the rules.
        named: whether the user named the series.
    """

    scan: Candidate
    place: int
    ranked: tuple[Candidate, ...]
    left_out: tuple[str, ...]
    config: SeriesConfig
    named: bool = False

    @property
    def headers(self) -> tuple[SliceHeader, ...]:
        """Return the header of each slice."""
        return self.scan.headers

    def of(self, used: tuple[SliceHeader, ...]) -> "SeriesChoice":
        """Return the same with the slices that were used in the end."""
        return replace(self, scan=replace(self.scan, headers=used))

    @property
    def reason(self) -> str:
        """Say what was chosen, and before what else by which rule."""
        text = ("named by the user: " if self.named else "") + self.scan.describe()
        before, after = self.ranked[: self.place], self.ranked[self.place + 1 :]
        if len(self.ranked) > 1:
            text += f"; {_ordinal(self.place)} of {len(self.ranked)} candidates"
        if before:
            text += f", after {', '.join(_name(one, self.ranked) for one in before)}, which can't be used"
        others = [self._before(other) for other in after[:_MOST_NAMED]]
        text += f", before {'; '.join(others)}" if others else ""
        return f"{text}; left out: {', '.join(self.left_out)}" if self.left_out else text

    def _before(self, other: Candidate) -> str:
        rule = decided_by(self.ranked[self.place], other, self.config)
        return f"{_name(other, self.ranked)} by {rule} ({other.describe()})"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return what is worth knowing about the choice."""
        return tuple(self._findings())

    def _findings(self) -> Iterator[Finding]:
        scan, others = self.scan, [one for one in self.ranked if one.uid != self.scan.uid]
        if others:
            rule = decided_by(self.ranked[self.place], others[0], self.config)
            how = "as others can't be used" if self.place else f"by {rule}"
            sizes = ", ".join(str(len(other.position_mm)) for other in others)
            yield Finding("several_series", f"{len(scan.position_mm)} slices taken {how}, others of {sizes}")
        if scan.n_passes > 1:
            told = f"{scan.n_passes} told apart by {' and '.join(scan.told_by)}"
            yield Finding("several_acquisitions", f"{told}; {len(scan.headers)} of {scan.n_images} slices taken")
        if len(scan.series) > 1:
            parts = ", ".join(f"{count} slices of {uid}" for uid, count in scan.series.items())
            yield Finding("joined_series", parts)
        if not scan.original:
            yield Finding("derived_series", "/".join(scan.headers[0].image_type[:4]))
        if scan.spectral:
            yield Finding("spectral_series", scan.content)
        if scan.projection:
            words = "/".join(scan.headers[0].image_type[:4]) or "no ImageType"
            yield Finding("projection_series", f"{words}, {scan.thickness_mm:g} mm every {scan.step_mm:.3g} mm")


def rank_series(headers: Iterable[SliceHeader], config: PreprocessConfig, *, named: str = "") -> list[SeriesChoice]:
    """Return the axial CT scans of enough slices, in the order in which the configured rules put them.

    Args:
        headers: every image of the study.
        config: the rules.
        named: SeriesInstanceUID that the user wants, and no other.

    Raises:
        StudyRefusedError: there is none; the message counts what there is.
    """
    excluded: Counter[str] = Counter()
    usable: list[SliceHeader] = []
    for header in _of_series(headers, named):
        if code := exclusion(header, max_lean_deg=config.series.max_lean_deg):
            excluded[code] += 1
        else:
            usable.append(header)
    scans = assemble(usable, max_gap_mm=config.max_gap_mm)
    candidates = [one for one in scans if len(one.position_mm) >= config.min_slices]
    if not candidates:
        raise _nothing_usable(scans, excluded, config.min_slices)
    ranked = tuple(_ranked(candidates, config.series))
    left_out = [f"{count} {code}" for code, count in sorted(excluded.items())]
    left_out += [_short(one) for one in scans if one not in candidates]
    return [
        SeriesChoice(scan, place, ranked, tuple(left_out), config.series, bool(named))
        for place, scan in enumerate(ranked)
    ]


def _of_series(headers: Iterable[SliceHeader], named: str) -> list[SliceHeader]:
    """Return the images of the named series; all of them where none is named.

    Raises:
        StudyRefusedError: the study has no such series.
    """
    images = list(headers)
    found = [header for header in images if named in ("", header.series_uid)]
    if named and not found:
        raise StudyRefusedError(
            "series_not_found",
            where="series choice",
            expected=f"the named series {named}",
            found=f"{len({header.series_uid for header in images})} others",
            fix="name one that `pectl validate` lists, or let the rules choose",
        )
    return found


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
    return None if lean_deg(header) <= max_lean_deg + _SAME_DEG else "not_axial"


def _without_geometry(header: SliceHeader) -> str:
    if header.frames > 1:
        return "multi_frame"
    return "screen_capture" if "SECONDARY" in header.image_type else "no_geometry"


def _ranked(candidates: list[Candidate], config: SeriesConfig) -> list[Candidate]:
    """Order candidates by the rules; those that are alike before the rule `contrast` are compared by their pixels."""
    ordered = sorted(candidates, key=lambda one: sort_key(one, config))
    if "contrast" in config.prefer:
        before = config.prefer[: config.prefer.index("contrast")]
        alike = [one for one in ordered if rank(one, config, before) == rank(ordered[0], config, before)]
        if len(alike) > 1:
            marked = mark_dimmer(alike)
            ordered = sorted([*marked, *ordered[len(alike) :]], key=lambda one: sort_key(one, config))
    return ordered


def _name(scan: Candidate, among: tuple[Candidate, ...]) -> str:
    """Name a candidate by its series, and by its place where the series has several."""
    same = [one for one in among if one.uid == scan.uid]
    return scan.uid if len(same) == 1 else f"acquisition {same.index(scan) + 1} of {scan.uid}"


def _ordinal(place: int) -> str:
    return "first" if place == 0 else f"number {place + 1}"


def _short(series: Candidate) -> str:
    n_images, n_positions = len(series.headers), len(series.position_mm)
    where = "" if n_images == n_positions else f" at {_counted(n_positions, 'position')}"
    return f"series of {_counted(n_images, 'slice')}{where}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


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
