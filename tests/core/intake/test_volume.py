"""Volumes: every acquisition ends in one canonical array whose geometry is right; faults by code."""

import numpy as np
import pydicom
import pytest

from pectl.core.dicom.headers import find_files, read_header
from pectl.core.intake.volume import read_volume
from pectl.errors import StudyRefusedError
from tests.chests import body_hu


@pytest.fixture
def read(tmp_path, write_series):
    def read(**options):
        folder = tmp_path / "series"
        write_series(folder, **options)
        headers = tuple(read_header(path) for path in find_files(folder))
        return read_volume(headers, min_slices=4, max_gap_mm=10.0)

    return read


def codes(volume):
    return {finding.code: finding.detail for finding in volume.findings}


def nodule_of(volume):
    """LPS centre of mass of the soft tissue inside the left lung, through the volume's geometry."""
    stack = volume.stack
    d, h, w = np.meshgrid(*(np.arange(size) for size in volume.hu.shape), indexing="ij")
    dy, dx = stack.pixel_spacing_mm
    points = (
        volume.corner_mm
        + stack.position_mm[d][..., None] * stack.axes.d
        + h[..., None] * dy * stack.axes.h
        + w[..., None] * dx * stack.axes.w
    )
    chosen = (volume.hu == 100) | (np.abs(volume.hu - 100) < 30)
    return points[chosen].mean(axis=0)


ACQUISITIONS = {
    "HFS": {},
    "FFS": {"orientation": (-1, 0, 0, 0, 1, 0)},
    "HFP": {"orientation": (-1, 0, 0, 0, -1, 0)},
    "FFP": {"orientation": (1, 0, 0, 0, -1, 0)},
    "right decubitus": {"orientation": (0, -1, 0, 1, 0, 0)},
    "left decubitus": {"orientation": (0, 1, 0, -1, 0, 0)},
    "wide pixels": {"pixel_spacing_mm": (3.0, 5.0), "size": (120, 80)},
    "transposed wide pixels": {
        "orientation": (0, 1, 0, 1, 0, 0),
        "pixel_spacing_mm": (5.0, 3.0),
        "size": (80, 120),
    },
    "signed": {"signed": True, "intercept": 0.0},
    "thin": {"step_mm": 3.0, "n_slices": 80},
    "oblique": {"orientation": (1, 0, 0, 0, np.cos(0.2), -np.sin(0.2))},
}


@pytest.mark.parametrize("options", ACQUISITIONS.values(), ids=ACQUISITIONS)
def test_the_nodule_stays_in_its_place(read, nodule_lps_mm, options):
    volume = read(**options)
    assert volume.hu.dtype == np.int16
    np.testing.assert_allclose(nodule_of(volume), nodule_lps_mm, atol=1.0)
    # upright: it lies to the patient's left, in front, and high
    d, h, w = (place.mean() / size for place, size in zip(np.nonzero(volume.hu == 100), volume.hu.shape, strict=True))
    assert d > 0.6
    assert h < 0.5
    assert w > 0.6


def compress(syntax, more=lambda dataset, place: None):
    def edit(dataset, place):
        more(dataset, place)
        dataset.compress(syntax, generate_instance_uid=False)

    return edit


def pad_every_third(dataset, place):
    dataset.PixelPaddingValue = 3000
    if place % 3 == 0:
        stored = np.frombuffer(dataset.PixelData, np.uint16).copy()
        stored[:5] = 3000
        dataset.PixelData = stored.tobytes()


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (0, -1, 0, 1, 0, 0)])
def test_slices_decoded_in_threads_are_those_of_one_thread(read, orientation, monkeypatch):
    monkeypatch.setattr("pectl.core.intake.volume.own_cores", lambda: 4)
    plain = read(orientation=orientation, edit=pad_every_third)
    coded = read(orientation=orientation, edit=compress(pydicom.uid.JPEG2000Lossless, pad_every_third))
    assert coded.stack.headers[0].transfer_syntax == pydicom.uid.JPEG2000Lossless
    np.testing.assert_array_equal(coded.hu, plain.hu)
    assert coded.findings == plain.findings
    assert codes(coded)["padding"] == "14 of 40 slices"


def test_the_lowest_of_several_broken_slices_is_named_by_threads_too(read, monkeypatch):
    monkeypatch.setattr("pectl.core.intake.volume.own_cores", lambda: 4)

    def edit(dataset, place):
        dataset.compress(pydicom.uid.JPEG2000Lossless, generate_instance_uid=False)
        if place in (11, 12, 30):
            dataset.PixelData = dataset.PixelData[:-1000]

    with pytest.raises(StudyRefusedError, match=r"SOPInstanceUID 1\.2\.3\.1\.11: expected pixels in JPEG 2000"):
        read(edit=edit)


def test_each_slice_has_its_own_rescale(read):
    def edit(dataset, place):
        if place % 2:
            dataset.RescaleIntercept, dataset.RescaleSlope = -2048, 2
            stored = (np.frombuffer(dataset.PixelData, np.uint16) + 1024) // 2
            dataset.PixelData = stored.astype(np.uint16).tobytes()

    np.testing.assert_array_equal(read(edit=edit).hu, read().hu)


def test_a_tilted_gantry_is_shifted_back(read, nodule_lps_mm):
    angle = np.radians(15.0)

    def edit(dataset, place):
        """The table moves along z, not along the normal; the anatomy is sampled where the slice lies."""
        dataset.ImagePositionPatient = [dataset.ImagePositionPatient[0], *positions[place][1:]]
        dataset.PixelData = stored(positions[place]).tobytes()

    orientation = (1, 0, 0, 0, np.cos(angle), -np.sin(angle))
    column = np.array(orientation[3:])
    half = 4.0 * 95 / 2
    positions = [np.array([-half, 0, 6.0 * (k - 19.5)]) - column * half for k in range(40)]

    def stored(corner):
        i, j = np.meshgrid(np.arange(96), np.arange(96), indexing="ij")
        points = corner + i[..., None] * 4.0 * column + j[..., None] * 4.0 * np.array([1.0, 0, 0])
        hu = body_hu(points)
        hu[np.linalg.norm(points - nodule_lps_mm, axis=-1) < 12] = 900
        return (hu + 1024).astype(np.uint16)

    volume = read(orientation=orientation, edit=edit)
    assert codes(volume)["gantry_tilt"] == "15.0 degrees"
    d, h, w = (place.mean() for place in np.nonzero(volume.hu > 600))
    stack = volume.stack
    found = (
        volume.corner_mm
        + np.interp(d, np.arange(40), stack.position_mm) * stack.axes.d
        + h * 4.0 * stack.axes.h
        + w * 4.0 * stack.axes.w
    )
    np.testing.assert_allclose(found, nodule_lps_mm, atol=1.5)


def test_copies_of_a_slice_are_left_out(read, tmp_path):
    clean = read()
    content = (tmp_path / "series" / "0003.dcm").read_bytes()
    (tmp_path / "series" / "copy").write_bytes(content)
    headers = tuple(read_header(path) for path in find_files(tmp_path / "series"))
    volume = read_volume(headers, min_slices=4, max_gap_mm=10.0)
    assert codes(volume)["duplicate_slices"] == "1 of 41 slices left out"
    np.testing.assert_array_equal(volume.hu, clean.hu)


def test_two_images_at_one_position_are_refused(read):
    def edit(dataset, place):
        if place == 5:
            dataset.ImagePositionPatient = [*dataset.ImagePositionPatient[:2], 6.0 * (4 - 19.5)]

    with pytest.raises(
        StudyRefusedError, match=r"expected one image at each position, found two different ones at -93\.0 mm"
    ) as caught:
        read(edit=edit)
    assert caught.value.code == "conflicting_slices"


def test_padding_is_counted(read):
    def edit(dataset, place):
        if place < 3:
            stored = np.frombuffer(dataset.PixelData, np.int16).copy()
            stored[0] = -2000
            dataset.PixelData = stored.tobytes()

    assert codes(read(signed=True, edit=edit))["padding"] == "3 of 40 slices"


def corners_of(value, **attributes):
    """Give the corners outside the circle of reconstruction one stored value, and the header these attributes."""

    def edit(dataset, place):
        stored = np.frombuffer(dataset.PixelData, np.uint16).reshape(96, 96).copy()
        rows, columns = np.indices(stored.shape)
        stored[np.hypot(rows - 47.5, columns - 47.5) > 47] = value
        dataset.PixelData = stored.tobytes()
        for keyword, attribute in attributes.items():
            setattr(dataset, keyword, attribute)

    return edit


@pytest.mark.parametrize("limits", [(63488, 63536), (63536, 63488)])
def test_padding_as_a_range_far_above_tissue_is_air(read, limits):
    options = dict(zip(("PixelPaddingValue", "PixelPaddingRangeLimit"), limits, strict=True))
    volume = read(edit=corners_of(63500, **options))
    assert volume.hu.max() < 3000
    assert volume.hu[:, 0, 0].max() == -1024
    assert codes(volume) == {"padding": "40 of 40 slices", "thick_slices": "6.00 mm"}


@pytest.mark.parametrize("stored", [63500, 4095])
def test_padding_that_no_header_names_is_said(read, stored):
    found = codes(read(edit=corners_of(stored)))
    assert float(found["impossible_hu"].split("%")[0]) == pytest.approx(23, abs=5)
    assert found["impossible_hu"].endswith("% of the voxels above 3000 HU")


def test_metal_is_kept_and_no_remark(read):
    def edit(dataset, place):
        stored = np.frombuffer(dataset.PixelData, np.uint16).reshape(96, 96).copy()
        stored[40:50, 40:52] = 21_024  # 120 pixels of 4 mm in each of 40 slices: 460 ml of steel
        dataset.PixelData = stored.tobytes()

    volume = read(edit=edit)
    assert volume.hu.max() == 20_000
    assert "impossible_hu" not in codes(volume)


def test_missing_slices_leave_a_named_gap(read):
    volume = read(edit=lambda dataset, place: place != 20)
    assert codes(volume) == {"missing_slices": "1 gap: 6.0 mm above position -3.0 mm", "thick_slices": "6.00 mm"}


@pytest.mark.parametrize("lowest", [-800, -600, -160])
def test_values_cut_off_above_air_are_called_clipped(read, lowest):
    def edit(dataset, place):
        stored = np.maximum(np.frombuffer(dataset.PixelData, np.uint16), lowest + 1024)
        dataset.PixelData = stored.astype(np.uint16).tobytes()

    with pytest.raises(
        StudyRefusedError, match=rf"expected air of about -1000 HU, found \d+% of the voxels at {lowest} HU, and none"
    ) as caught:
        read(edit=edit)
    assert caught.value.code == "clipped_hu"


@pytest.mark.parametrize("lowest", [-1000, -950])
def test_values_cut_off_below_lung_do_no_harm(read, lowest):
    def edit(dataset, place):
        stored = np.maximum(np.frombuffer(dataset.PixelData, np.uint16), lowest + 1024)
        dataset.PixelData = stored.astype(np.uint16).tobytes()

    assert codes(read(edit=edit)) == {"thick_slices": "6.00 mm"}


def test_values_that_are_no_hu_are_refused(read):
    def edit(dataset, place):
        dataset.RescaleIntercept = 0

    with pytest.raises(StudyRefusedError, match=r"expected air below -700 HU and tissue .* found 0\.0% and") as caught:
        read(edit=edit)
    assert caught.value.code == "not_hu"


def test_too_few_different_positions(read):
    with pytest.raises(StudyRefusedError, match="expected 4 slices or more, found 3 at different positions") as caught:
        read(n_slices=3)
    assert caught.value.code == "too_few_slices"


def test_more_voxels_than_memory_should_hold(make_header):
    headers = tuple(make_header(float(z), rows=4096, columns=4096) for z in range(65))
    with pytest.raises(StudyRefusedError, match="at most 1073741824 voxels, found 65 x 4096 x 4096") as caught:
        read_volume(headers, min_slices=4, max_gap_mm=10.0)
    assert caught.value.code == "absurd_size"


def test_an_absurd_header_is_refused_before_pixels_are_read(make_header):
    headers = tuple(make_header(float(z), slope=None) for z in range(8))
    with pytest.raises(StudyRefusedError) as caught:
        read_volume(headers, min_slices=4, max_gap_mm=10.0)
    assert caught.value.code == "absurd_rescale"
