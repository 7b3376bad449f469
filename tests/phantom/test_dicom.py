import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from pectl.config import PhantomConfig
from pectl.core.dicom.headers import read_header
from pectl.phantom.acquisition import draw_scanner
from pectl.phantom.dicom import ENCODINGS, HASHED_CLASS, IMAGE_TYPES, ORIENTATIONS, Header, write_series
from pectl.phantom.grid import Grid
from tests.dicom_output.conftest import judged

GRID = Grid(
    shape=(3, 20, 24),
    spacing_mm=(2.5, 0.8, 0.9),
    first_mm=(-4.0, -8.0, -9.0),
    offset_lps_mm=(3.0, -150.0, -700.0),
)
HU = np.random.default_rng(0).integers(-1000, 2000, GRID.shape).astype(np.int16)


def header_of(seed=0, config=None):
    rng = np.random.default_rng(seed)
    scanner = draw_scanner(rng, PhantomConfig(), motion=False)
    return Header.draw(rng, config or PhantomConfig(), GRID, scanner, "0123456789ab")


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "jpeg-ls"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_hu_and_places_are_read_back(tmp_path, syntax, orientation, encoding):
    header = replace(header_of(), syntax=syntax, encoding=encoding, position=orientation[0], orientation=orientation[1])
    write_series(tmp_path, header, GRID, HU)
    for index, sop in enumerate(header.sop_uids):
        dataset = pydicom.dcmread(tmp_path / f"{sop}.dcm")
        hu = dataset.pixel_array.astype(int) * int(dataset.RescaleSlope) + int(dataset.RescaleIntercept)
        for row, column in ((5, 7), (12, 20), (10, 2)):
            h = row if orientation[1][4] > 0 else 19 - row
            w = column if orientation[1][0] > 0 else 23 - column
            assert hu[row, column] == HU[index, h, w]
            rows, columns = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
            place = np.array(dataset.ImagePositionPatient, dtype=float)
            place = place + rows * column * dataset.PixelSpacing[1] + columns * row * dataset.PixelSpacing[0]
            np.testing.assert_allclose(place, (GRID.affine @ [index, h, w, 1])[:3], atol=1e-3)
        padded = hu[0, 0] == -2000 + encoding.intercept
        assert padded == (encoding.padding is not None)


def test_headers_vary_and_are_as_messy_as_real_ones():
    headers = [header_of(seed) for seed in range(150)]
    assert {header.encoding for header in headers} == set(ENCODINGS)
    assert {header.orientation for header in headers} == {orientation for _, orientation, _ in ORIENTATIONS}
    assert {header.position for header in headers} == {"HFS", "FFS", "HFP"}
    assert {header.syntax for header in headers} == {"implicit", "explicit", "jpeg-ls"}
    assert {header.many_windows for header in headers} == {header.hashed_class for header in headers} == {True, False}
    assert {header.image_type for header in headers} == {image_type for image_type, _ in IMAGE_TYPES}
    assert any(header.slice_thickness_mm != 2.5 for header in headers)
    orders = {header.instance_numbers for header in headers}
    assert {(1, 2, 3), (3, 2, 1)} < orders
    assert len({header.patient_id for header in headers}) == 150


def test_no_compression_where_none_is_asked_for():
    config = PhantomConfig(compressed_fraction=0.0)
    assert {header_of(seed, config).syntax for seed in range(40)} == {"implicit", "explicit"}


def test_odd_ids_are_written_without_a_word_and_without_a_lasting_setting(tmp_path):
    before = pydicom.config.settings.writing_validation_mode
    header = replace(header_of(), hashed_class=True, many_windows=True)
    write_series(tmp_path, header, GRID, HU)
    assert pydicom.config.settings.writing_validation_mode == before
    dataset = pydicom.dcmread(tmp_path / f"{header.sop_uids[1]}.dcm")
    with pydicom.config.disable_value_validation():
        assert dataset.SOPInstanceUID == header.sop_uids[1]
        assert dataset.SOPClassUID == HASHED_CLASS
    assert dataset.file_meta.MediaStorageSOPInstanceUID != header.sop_uids[1]
    assert list(dataset.WindowCenter) == [100, -600]
    assert "Manufacturer" not in dataset
    assert "PatientName" not in dataset


@pytest.mark.parametrize("image_type", [image_type for image_type, _ in IMAGE_TYPES if image_type])
def test_every_image_type_that_is_drawn_is_read_as_an_original(tmp_path, image_type):
    write_series(tmp_path, replace(header_of(), image_type=image_type), GRID, HU)
    [header, *_] = [read_header(path) for path in tmp_path.iterdir()]
    assert header.image_type[:3] == ("ORIGINAL", "PRIMARY", "AXIAL")


def test_valid_identity_is_what_a_pacs_takes_and_the_same_image(tmp_path):
    hashed, valid = header_of(), header_of(config=PhantomConfig(identity="valid"))
    assert [f"2.25.{int(uid, 16)}" for uid in hashed.sop_uids] == list(valid.sop_uids)
    same = {
        "study_uid": "2.25.7",
        "series_uid": "",
        "patient_id": "",
        "sop_uids": (),
        "identity": "",
        "hashed_class": False,
    }
    assert replace(hashed, **same) == replace(valid, **same)
    valid = replace(valid, study_uid="2.25.7", syntax="explicit")
    write_series(tmp_path, valid, GRID, HU)
    for sop in valid.sop_uids:
        path = tmp_path / f"{sop}.dcm"
        dataset = pydicom.dcmread(path)
        assert dataset.SOPClassUID == pydicom.uid.CTImageStorage
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID == sop
        found = judged(str(Path(sys.executable).parent / "dciodvfy"), path)
        assert [line for line in found if line.startswith("Error")] == []
