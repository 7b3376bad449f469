"""From the headers of one study to its place in the study store: the steps in their order."""

import numpy as np
from numpy.typing import NDArray

from pectl.config import PreprocessConfig
from pectl.core.data.dicom import SliceHeader, is_safe_uid
from pectl.core.data.findings import Finding
from pectl.core.data.labels import UNKNOWN
from pectl.core.data.lungs import find_lungs
from pectl.core.data.resample import Grid, resample_box
from pectl.core.data.series import SeriesChoice, choose_series
from pectl.core.data.study_store import SourceSlices, Study
from pectl.core.data.volume import Volume, read_volume
from pectl.errors import StudyRefusedError


def make_study(
    headers: list[SliceHeader],
    config: PreprocessConfig,
    *,
    image_labels: dict[str, int] | None,
    exam_labels: dict[str, int | None],
) -> tuple[Study, tuple[Finding, ...]]:
    """Turn the files of one study into what the store keeps of it.

    Args:
        headers: every image of the study.
        config: the preprocessing.
        image_labels: PE on the image (0, 1) by SOPInstanceUID; empty for a study that the table doesn't hold,
            None where there is no table.
        exam_labels: 0, 1 or None by label.

    Raises:
        StudyRefusedError: the study can't be used; the code says why.
    """
    choice = choose_series(headers, min_slices=config.min_slices)
    _check_uids(choice)
    volume = _read(choice, config)
    _check_distinct(volume)
    box, lung_findings = find_lungs(volume, config)
    grid = resample_box(volume, box, slice_spacing_mm=config.slice_spacing_mm, in_plane_px=config.in_plane_px)
    source = _source_slices(volume, grid, image_labels or {})
    findings = (
        *choice.findings, *volume.findings, *lung_findings, *_label_findings(source, image_labels)
    )  # fmt: skip
    return _study(volume, grid, source, findings, exam_labels), findings


def _read(choice: SeriesChoice, config: PreprocessConfig) -> Volume:
    try:
        return read_volume(choice.headers, min_slices=config.min_slices, max_gap_mm=config.max_gap_mm)
    except OSError as error:
        raise StudyRefusedError(
            "unreadable_file", where="pixels of the series", expected="files that can be read",
            found=error.strerror or type(error).__name__,
            fix="check permissions and the disk, delete the study's file in refused/, run preprocess again",
        ) from error  # fmt: skip


def _check_uids(choice: SeriesChoice) -> None:
    first = choice.headers[0]
    uids = {first.study_uid, first.series_uid, *(header.sop_uid for header in choice.headers)}
    if "" in uids:
        raise _bad_uid("missing_uid", "an empty one")
    if not all(map(is_safe_uid, uids)):
        raise _bad_uid("unsafe_uid", "other characters, or more than 64")


def _check_distinct(volume: Volume) -> None:
    """Check that each slice has its own UID; copies of one file have been left out by then."""
    if len({header.sop_uid for header in volume.stack.headers}) < len(volume.stack.headers):
        raise _bad_uid("repeated_uid", "one SOPInstanceUID in several files")


def _bad_uid(code: str, found: str) -> StudyRefusedError:
    return StudyRefusedError(
        code, where="UIDs of study, series and images", expected="distinct ones of digits, letters and dots",
        found=found, fix="export the series again with valid UIDs",
    )  # fmt: skip


def _source_slices(volume: Volume, grid: Grid, image_labels: dict[str, int]) -> SourceSlices:
    headers = volume.stack.headers
    return SourceSlices(
        sop_instance_uid=np.array([header.sop_uid for header in headers], object),
        position_mm=volume.stack.position_mm,
        label=np.array([image_labels.get(header.sop_uid, UNKNOWN) for header in headers], np.int8),
        grid_index=grid.nearest_grid,
        image_position_patient=np.array([header.position for header in headers], np.float64),
    )


def _label_findings(source: SourceSlices, image_labels: dict[str, int] | None) -> list[Finding]:
    if image_labels is None:
        return []
    if not image_labels:
        return [Finding("not_labelled", "all labels are unknown")]
    findings = []
    if unlabelled := int((source.label == UNKNOWN).sum()):
        findings.append(Finding("images_without_labels", f"{unlabelled} of {len(source.label)} slices"))
    if unused := len(set(image_labels) - set(source.sop_instance_uid)):
        findings.append(Finding("labels_without_images", f"{unused} of {len(image_labels)} labels"))
    return findings


def _study(
    volume: Volume,
    grid: Grid,
    source: SourceSlices,
    findings: tuple[Finding, ...],
    exam_labels: dict[str, int | None],
) -> Study:
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
        flags=tuple(dict.fromkeys(finding.code for finding in findings)),
        exam_labels=exam_labels,
        kernel=first.kernel,
        manufacturer=first.manufacturer,
        slice_step_mm=volume.stack.step_mm,
    )


def _grid_labels(source: SourceSlices, grid: Grid) -> NDArray[np.int8]:
    labels: NDArray[np.int8] = source.label[grid.nearest_source]
    return labels
