"""From the headers of one study to its place in the study store: the steps in their order.

`examine` is all that is judged, and what `validate` runs; `make_study` goes on from there to what the store keeps.
"""

from __future__ import annotations  # h5py is imported by who writes a store

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pectl.config import PreprocessConfig
from pectl.core.dicom.archives import unpacked
from pectl.core.dicom.headers import SliceHeader, is_safe_uid
from pectl.core.intake.choice.series import SeriesChoice, rank_series
from pectl.core.intake.findings import Finding
from pectl.core.intake.lungs import Box, find_lungs
from pectl.core.intake.marked import Marked, read_marked
from pectl.core.intake.resample import Grid, resample_box
from pectl.core.intake.study_labels import StudyLabels
from pectl.core.intake.verdicts import Verdict
from pectl.core.intake.volume import Volume, read_volume
from pectl.core.labels.names import UNKNOWN
from pectl.core.places.source import PlacesSource
from pectl.core.stores.source import SourceSlices
from pectl.core.volumes.slices import expand
from pectl.errors import StoreError, StudyRefusedError

if TYPE_CHECKING:
    from pectl.core.stores.study_store import Study


@dataclass(frozen=True)
class Usable:
    """A study that can be used: its volume, the box of its lungs, and the HU of the vessels between them."""

    volume: Volume
    box: Box
    vessel_hu: float


@dataclass(frozen=True)
class Examined:
    """What was found out about a study.

    Attributes:
        verdict: what is said of it.
        usable: None where it is refused.
        marked: the emboli that its set marks; None where there are no masks or boxes that can be used.
    """

    verdict: Verdict
    usable: Usable | None
    marked: Marked | None = None

    def with_marks(
        self, source: PlacesSource, files: list[SliceHeader], labels: StudyLabels, *, min_area_mm2: float
    ) -> Examined:
        """Read what the set marks on a study that can be used.

        Args:
            source: masks or boxes of the study.
            files: of the study.
            labels: of the table.
            min_area_mm2: see `places.min_area_mm2`.
        """
        if self.usable is None:
            return self
        volume, box = self.usable.volume, self.usable.box
        marked, findings = read_marked(source, volume, box, _expanded(files)[0], min_area_mm2=min_area_mm2)
        if marked is not None and (count := labels.contradictions(marked)):
            findings.append(Finding("places_contradict", f"{count} labels of images and the study"))
        verdict = replace(self.verdict, findings=(*self.verdict.findings, *findings))
        return replace(self, verdict=verdict, marked=marked)


@dataclass(frozen=True)
class _Attempt:
    """How far one scan went: the slices used, what was found, and the error that ended it."""

    choice: SeriesChoice
    findings: tuple[Finding, ...]
    usable: Usable | None = None
    error: StudyRefusedError | None = None

    def failure(self) -> str:
        """Say which scan can't be used, and why."""
        return f"{self.choice.scan.uid}: {self.error.code if self.error else ''}: {self.error}"


def examine(
    uid: str,
    headers: list[SliceHeader],
    config: PreprocessConfig,
    *,
    labels: StudyLabels,
    known: tuple[Finding, ...] = (),
    series: str = "",
) -> Examined:
    """Judge one study by all that its files and labels say.

    The scans are tried in the order in which the rules put them; the first that can be used is.

    Args:
        uid: StudyInstanceUID, or its stand-in.
        headers: every image of the study, or its volume file.
        config: the preprocessing.
        labels: of the study.
        known: what the index of all files and the labels table say about the study already.
        series: SeriesInstanceUID that the user wants, and no other.

    Raises:
        StoreError: an archive's files can't be unpacked; the disk is full.
    """
    errors = [finding for finding in known if finding.level == "error"]
    others = [finding for finding in known if finding.level != "error"]
    largest = series or max((header.series_uid for header in headers), key=_count(headers), default="")
    if not headers and errors:
        return Examined(_verdict(uid, largest, "", [*errors, *others]), None)
    try:
        headers, remarks = _expanded(headers)
        others += remarks
        attempts = _attempts(rank_series(headers, config, named=series), config)
    except StudyRefusedError as error:
        return Examined(_verdict(uid, largest, "", [Finding(error.code, str(error)), *errors, *others]), None)
    kept = attempts[-1] if attempts[-1].usable else attempts[0]
    choice = kept.choice
    outcome = [*_refusal(attempts), *errors] or [Finding("accepted", choice.reason)]
    found = [*choice.findings, *_failed(attempts), *_label_findings(choice, labels.image), *kept.findings]
    verdict = _verdict(uid, choice.scan.uid, choice.reason, [*outcome, *others, *found])
    return Examined(verdict, None if verdict.refused else kept.usable)


def _expanded(headers: list[SliceHeader]) -> tuple[list[SliceHeader], list[Finding]]:
    """Return a header for each image, and what is to be said of a volume file's geometry."""
    try:
        found = expand(headers)
    except OSError as error:
        raise _unreadable("volume file", error) from error
    return found.headers, [Finding(code, detail) for code, detail in found.remarks]


def _verdict(uid: str, series: str, reason: str, findings: list[Finding]) -> Verdict:
    return Verdict(study=uid, series=series if is_safe_uid(series) else "", choice=reason, findings=tuple(findings))


def _attempts(choices: list[SeriesChoice], config: PreprocessConfig) -> list[_Attempt]:
    """Try one scan after the other, until one can be used."""
    attempts: list[_Attempt] = []
    for choice in choices:
        attempts.append(_attempt(choice, config))
        if attempts[-1].usable:
            break
    return attempts


def _attempt(choice: SeriesChoice, config: PreprocessConfig) -> _Attempt:
    findings: tuple[Finding, ...] = ()
    try:
        _check_uids(choice)
        volume = _read(choice, config)
        choice = choice.of(volume.stack.headers)
        findings = volume.findings
        _check_distinct(volume)
        lungs = find_lungs(volume, config)
    except StudyRefusedError as error:
        return _Attempt(choice, findings, error=error)
    return _Attempt(choice, (*findings, *lungs.findings), Usable(volume, lungs.box, lungs.vessel_hu))


def _refusal(attempts: list[_Attempt]) -> list[Finding]:
    """Return the error of the scan that came first, and in words those of the others, unless one can be used."""
    first, *others = attempts
    if first.error is None or attempts[-1].usable:
        return []
    too = f"; nor can the others: {'; '.join(other.failure() for other in others)}" if others else ""
    return [Finding(first.error.code, f"{first.error}; series chosen: {first.choice.reason}{too}")]


def _failed(attempts: list[_Attempt]) -> list[Finding]:
    """Say which scans came first and can't be used."""
    if not attempts[-1].usable:
        return []
    return [Finding("first_series_failed", attempt.failure()) for attempt in attempts[:-1]]


def make_study(usable: Usable, verdict: Verdict, config: PreprocessConfig, labels: StudyLabels) -> Study:
    """Make of a usable study what the store keeps of it."""
    volume = usable.volume
    grid = resample_box(volume, usable.box, slice_spacing_mm=config.slice_spacing_mm, in_plane_px=config.in_plane_px)
    source = _source_slices(volume, grid, labels.image or {})
    return _study(usable, grid, source, verdict, labels.exam)


def _count(headers: list[SliceHeader]) -> Callable[[str], tuple[int, str]]:
    """Order series by their number of images."""
    count = Counter(header.series_uid for header in headers)
    return lambda uid: (count[uid], uid)


def _read(choice: SeriesChoice, config: PreprocessConfig) -> Volume:
    try:
        with unpacked(choice.headers) as headers:
            return read_volume(headers, min_slices=config.min_slices, max_gap_mm=config.max_gap_mm)
    except StoreError:
        raise
    except OSError as error:
        raise _unreadable("pixels of the series", error) from error


def _unreadable(where: str, error: OSError) -> StudyRefusedError:
    return StudyRefusedError(
        "unreadable_file",
        where=where,
        expected="files that can be read",
        found=error.strerror or type(error).__name__,
        fix="check permissions and the disk, and run the command again",
    )


def _check_uids(choice: SeriesChoice) -> None:
    headers = choice.headers
    uids = {headers[0].study_uid, *choice.scan.series, *(header.sop_uid for header in headers)}
    if "" in uids:
        raise _bad_uid("missing_uid", "an empty one")
    if not all(map(is_safe_uid, uids)):
        raise _bad_uid("unsafe_uid", "other characters, or more than 64")


def _check_distinct(volume: Volume) -> None:
    """Check that each slice has its own UID; copies of one file have been left out by then."""
    if len({header.image_uid for header in volume.stack.headers}) < len(volume.stack.headers):
        raise _bad_uid("repeated_uid", "one SOPInstanceUID in several files")


def _bad_uid(code: str, found: str) -> StudyRefusedError:
    return StudyRefusedError(
        code,
        where="UIDs of study, series and images",
        expected="distinct ones of digits, letters and dots",
        found=found,
        fix="export the series again with valid UIDs",
    )


def _source_slices(volume: Volume, grid: Grid, image_labels: dict[str, int]) -> SourceSlices:
    headers = volume.stack.headers
    return SourceSlices(
        sop_instance_uid=np.array([header.image_uid for header in headers], object),
        position_mm=volume.stack.position_mm,
        label=np.array([image_labels.get(header.image_uid, UNKNOWN) for header in headers], np.int8),
        grid_index=grid.nearest_grid,
        image_position_patient=np.array([header.position for header in headers], np.float64),
    )


def _label_findings(choice: SeriesChoice, image_labels: dict[str, int] | None) -> list[Finding]:
    if image_labels is None:
        return []
    if not image_labels:
        return [Finding("not_labelled", "all labels are unknown")]
    images = {header.image_uid for header in choice.headers}
    findings = []
    if unlabelled := len(images - set(image_labels)):
        findings.append(Finding("images_without_labels", f"{unlabelled} of {len(images)} images"))
    if unused := len(set(image_labels) - images):
        findings.append(Finding("labels_without_images", f"{unused} of {len(image_labels)} labels"))
    return findings


def _study(
    usable: Usable,
    grid: Grid,
    source: SourceSlices,
    verdict: Verdict,
    exam_labels: dict[str, int | None],
) -> Study:
    from pectl.core.stores.study_store import Study  # h5py, which judging alone needn't pay

    volume = usable.volume
    first = volume.stack.headers[0]
    row_mm, column_mm = first.pixel_spacing_mm or (0.0, 0.0)
    return Study(
        uid=first.study_uid,
        series_uid=first.series_uid,
        hu=grid.hu,
        slice_position_mm=grid.position_mm,
        slice_label=_grid_labels(source, grid),
        spacing_mm=grid.spacing_mm,
        affine=grid.affine,
        source=source,
        source_shape=(first.rows, first.columns),
        source_pixel_spacing_mm=(row_mm, column_mm),
        source_orientation=first.orientation or (),
        flags=tuple(dict.fromkeys(finding.code for finding in verdict.findings if finding.level != "ok")),
        exam_labels=exam_labels,
        kernel=first.kernel,
        manufacturer=first.manufacturer,
        slice_step_mm=volume.stack.step_mm,
        vessel_hu=usable.vessel_hu,
    )


def _grid_labels(source: SourceSlices, grid: Grid) -> NDArray[np.int8]:
    labels: NDArray[np.int8] = source.label[grid.nearest_source]
    return labels
