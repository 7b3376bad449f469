from collections.abc import Callable

import numpy as np
import pytest

from pectl.core.stores.study_store import Study
from pectl.explanation.heat_geometry import (
    grid_to_lps,
    heat_on_source,
    left_share,
    lps_to_grid,
    lps_to_source_pixel,
    nearest_source_slice,
    source_heat,
    source_pixel_to_lps,
)

ORIENTATIONS = {
    "supine": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "rows mirrored": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "prone": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "transposed": (0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
}
StudyFactory = Callable[..., Study]


def test_grid_index_becomes_lps_and_back(make_study: StudyFactory) -> None:
    study = make_study(spacing_mm=(3.0, 4.0, 5.0), origin_mm=(-50.0, -60.0, -200.0))
    point = grid_to_lps(study.affine, np.array([2.0, 3.0, 4.0]))
    assert point.tolist() == [-50.0 + 5 * 4, -60.0 + 4 * 3, -200.0 + 3 * 2]
    assert lps_to_grid(study.affine, point) == pytest.approx([2.0, 3.0, 4.0])


def test_source_pixel_follows_dicom(make_study: StudyFactory) -> None:
    study = make_study(orientation=ORIENTATIONS["prone"], source_spacing_mm=(2.0, 1.5))
    first = study.source.image_position_patient[3]
    point = source_pixel_to_lps(study, 3, np.array([10.0, 4.0]))
    assert point == pytest.approx(first - np.array([4 * 1.5, 10 * 2.0, 0.0]))
    assert lps_to_source_pixel(study, 3, point) == pytest.approx([10.0, 4.0])


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
@pytest.mark.parametrize("source_spacing_mm", [(2.0, 2.0), (1.7, 2.6)])
def test_a_voxel_keeps_its_place_on_the_original_slice(
    make_study: StudyFactory, orientation: tuple[float, ...], source_spacing_mm: tuple[float, float]
) -> None:
    study = make_study(orientation=orientation, source_spacing_mm=source_spacing_mm)
    voxel = (5, 13, 10)
    heat = np.zeros(study.hu.shape, np.float32)
    heat[voxel] = 1.0
    on_slice = heat_on_source(study, heat, 5)
    assert on_slice.shape == study.source_shape
    rows, columns = np.indices(on_slice.shape)
    centre = [float((on_slice * axis).sum() / on_slice.sum()) for axis in (rows, columns)]
    point = source_pixel_to_lps(study, 5, np.array(centre))
    assert np.linalg.norm(point - grid_to_lps(study.affine, np.array(voxel))) < 1.0
    assert not heat_on_source(study, heat, 7).any()


def test_pixels_outside_the_grid_have_no_heat(make_study: StudyFactory) -> None:
    study = make_study(shape=(16, 4, 4), source_spacing_mm=(2.0, 2.0))
    on_slice = heat_on_source(study, np.ones(study.hu.shape, np.float32), 0)
    assert set(np.unique(on_slice)) == {0.0, 1.0}
    assert on_slice.sum() == 8 * 8  # 16 mm of 2 mm pixels


def test_heat_of_source_slices_is_that_of_their_grid_slice(make_study: StudyFactory) -> None:
    study = make_study()
    study.source.grid_index[0] = -1
    heat = source_heat(study, np.arange(16, dtype=np.float32))
    assert np.isnan(heat[0])
    assert heat[1:].tolist() == list(range(1, 16))


def test_nearest_source_slice_is_by_position(make_study: StudyFactory) -> None:
    study = make_study()
    study.source.position_mm[9] += 1.0
    assert nearest_source_slice(study, 9) == 9
    study.source.position_mm[9] += 50.0
    assert nearest_source_slice(study, 9) in (8, 10)


def test_left_is_towards_plus_x(make_study: StudyFactory) -> None:
    study = make_study()
    heat = np.zeros(study.hu.shape, np.float32)
    assert left_share(study, heat) is None
    heat[3, 3, 20] = 3.0
    heat[3, 3, 2] = 1.0
    assert left_share(study, heat) == 0.75
    middle = np.zeros((2, 3, 3), np.float32)
    middle[0, 0, 1] = 1.0
    assert left_share(make_study(shape=(2, 3, 3), positive=None), middle) == 0.5
