"""Heat and the patient: between the grid of a study and its original slices, in LPS mm."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from pectl.core.stores.study_store import Study

FloatArray = NDArray[np.float64]


def grid_to_lps(affine: FloatArray, index: FloatArray) -> FloatArray:
    """(..., 3) index (d, h, w) of a grid with this (4, 4) affine -> (..., 3) LPS coordinates (x, y, z) in mm."""
    return np.asarray(index @ affine[:3, :3].T + affine[:3, 3], np.float64)


def lps_to_grid(affine: FloatArray, point_mm: FloatArray) -> FloatArray:
    """(..., 3) LPS mm -> (..., 3) fractional index (d, h, w) of a grid with this (4, 4) affine."""
    return grid_to_lps(np.asarray(np.linalg.inv(affine), np.float64), point_mm)


def source_pixel_to_lps(study: Study, source_index: int, pixel: FloatArray) -> FloatArray:
    """(..., 2) row and column of an original slice -> (..., 3) LPS mm (DICOM PS3.3 C.7.6.2.1.1)."""
    along_row, along_column = _axes(study)
    row_step, column_step = study.source_pixel_spacing_mm
    origin = study.source.image_position_patient[source_index]
    moved = pixel[..., 1:] * column_step * along_row + pixel[..., :1] * row_step * along_column
    return np.asarray(origin + moved, np.float64)


def lps_to_source_pixel(study: Study, source_index: int, point_mm: FloatArray) -> FloatArray:
    """(..., 3) LPS mm -> (..., 2) fractional row and column of the point's foot on an original slice."""
    along_row, along_column = _axes(study)
    row_step, column_step = study.source_pixel_spacing_mm
    offset = point_mm - study.source.image_position_patient[source_index]
    return np.stack([offset @ along_column / row_step, offset @ along_row / column_step], axis=-1)


def nearest_source_slice(study: Study, grid_index: int) -> int:
    """Return the original slice nearest to a slice of the grid."""
    distance = np.abs(study.source.position_mm - study.slice_position_mm[grid_index])
    return int(np.argmin(distance))


def heat_on_source(study: Study, heat: NDArray[np.float32], source_index: int) -> NDArray[np.float32]:
    """Return the heat of an original slice on its own matrix: (rows, columns), 0 outside the grid.

    Each pixel's LPS position is looked up in the grid, trilinear; orientation, flips and spacing follow from
    the study's affine and the slice's ImagePositionPatient.

    Args:
        study: with its geometry.
        heat: (D, S, S) on the study's grid.
        source_index: position in `study.source`.
    """
    pixel = np.moveaxis(np.indices(study.source_shape, np.float64), 0, -1)  # (rows, columns, 2)
    place = lps_to_grid(study.affine, source_pixel_to_lps(study, source_index, pixel))  # (rows, columns, 3)
    size = np.array(heat.shape)
    inside = ((place >= -0.5) & (place <= size - 0.5)).all(-1)
    sampled = np.zeros(study.source_shape, np.float32)
    sampled[inside] = map_coordinates(heat, place[inside].T, order=1, mode="nearest")
    return sampled


def source_heat(study: Study, slice_heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """(D,) heat of the grid's slices -> (n,) of the original slices, NaN outside the grid."""
    index = study.source.grid_index
    return np.where(index >= 0, slice_heat[np.maximum(index, 0)], np.nan).astype(np.float32)


def leftness(study: Study, index: FloatArray) -> FloatArray:
    """(..., 3) grid index -> (...): 1 on the patient's left (+x LPS) of the grid's centre, 0 right of it, 0.5 on it.

    The grid is the box of both lungs, so its centre is near the midline.
    """
    centre = (np.array(study.hu.shape) - 1) / 2
    x = (grid_to_lps(study.affine, index) - grid_to_lps(study.affine, centre))[..., 0]
    return np.asarray((1 + np.sign(x)) / 2, np.float64)


def left_share(study: Study, heat: NDArray[np.float32]) -> float | None:
    """Return the share of (D, S, S) heat on the patient's left; None without heat."""
    total = float(heat.sum(dtype=np.float64))
    if total == 0:
        return None
    column = heat.sum(axis=(0, 1), dtype=np.float64)  # (W,)
    index = np.tile((np.array(heat.shape) - 1) / 2, (len(column), 1))  # (W, 3)
    index[:, 2] = np.arange(len(column))
    return float((column * leftness(study, index)).sum() / total)


def _axes(study: Study) -> tuple[FloatArray, FloatArray]:
    """Return the unit vectors along a row (columns ascending) and along a column (rows ascending)."""
    orientation = np.asarray(study.source_orientation, np.float64)
    return orientation[:3], orientation[3:]
