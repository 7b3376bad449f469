"""Hostile files, alone, beside a good series and inside it: each ends in a verdict, within time and memory.

The files are pydicom's own, which ship with it; the larger collection is read where there is one.
"""

import resource
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest

from pectl.config import Config, PreprocessConfig
from pectl.core.dicom.headers import find_files
from pectl.core.intake.findings import CODES
from pectl.core.intake.tasks import Sources
from pectl.core.intake.verdicts import Verdict
from pectl.core.stores.study_store import StudyStore
from pectl.errors import InputMissingError
from pectl.steps.preprocess import preprocess
from pectl.steps.validate import validate

CONFIG = Config(preprocess=PreprocessConfig(in_plane_px=32, slice_spacing_mm=6.0))
SHIPPED = Path(pydicom.__file__).parent / "data"
LONGEST_SECONDS, MOST_BYTES = 10.0, 200 << 20
TAKEN_OVER = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "Modality",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "RescaleSlope",
    "RescaleIntercept",
)
PIXELS = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation")


@pytest.fixture(scope="module")
def good(tmp_path_factory, write_series):
    folder = tmp_path_factory.mktemp("good")
    write_series(folder, n_slices=36, size=(64, 64), pixel_spacing_mm=(6, 6))
    return folder


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.fixture
def judge(tmp_path):
    """Validate, and check time, memory, codes, and that nothing is written beside the output."""

    def judge(*paths) -> tuple[Verdict, ...]:
        before, begun = {path for path in tmp_path.rglob("*") if "out" not in path.parts}, time.monotonic()
        used = peak_bytes()
        try:
            verdicts = validate(Sources(paths), tmp_path / "out", CONFIG).verdicts
        except InputMissingError as error:
            assert "expected DICOM files or volumes, found none among" in str(error)  # noqa: PT017 - one of two good ends
            verdicts = ()
        assert time.monotonic() - begun < LONGEST_SECONDS, paths
        assert peak_bytes() - used < MOST_BYTES, paths
        assert {path for path in tmp_path.rglob("*") if "out" not in path.parts} == before
        assert all(finding.code in CODES for verdict in verdicts for finding in verdict.findings)
        return verdicts

    return judge


def hide(path, good, target, *, pixels):
    """Write a hostile file as slice 5 of the good series; False where pydicom can't write it."""
    model = pydicom.dcmread(good / "0005.dcm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path, force=True)
            for keyword in (*TAKEN_OVER, *PIXELS) if pixels else TAKEN_OVER:
                setattr(dataset, keyword, getattr(model, keyword))
            if pixels and "NumberOfFrames" in dataset:
                dataset.NumberOfFrames = 1
            dataset.save_as(target, enforce_file_format=False)
        except Exception:  # noqa: BLE001 - hostile to pydicom too
            return False
    return True


def check_all(files, good, judge, tmp_path):
    """Put each file through all four trials; return how many could be hidden."""
    hidden = 0
    for path in files:
        assert all(verdict.refused for verdict in judge(path)), path
        series = shutil.copytree(good, tmp_path / "series")
        shutil.copy(path, series / "zz")
        [verdict] = [one for one in judge(series) if one.study == "1.2.3"]
        assert verdict.outcome.code == "accepted", path
        (series / "zz").unlink()
        for pixels in (False, True):
            if hide(path, good, series / "0005.dcm", pixels=pixels):
                hidden += 1
                [verdict] = [one for one in judge(series) if one.study == "1.2.3"]
                assert verdict.series == "1.2.3.1", path
        shutil.rmtree(series)
    return hidden


def several(files, step):
    """Return every n-th file: the others are of the same making."""
    return sorted(files)[::step]


def test_files_that_ship_with_pydicom(good, judge, tmp_path):
    tests = [path for path in find_files(SHIPPED / "test_files") if "dicomdirtests" not in path.parts]
    assert len(tests) > 80
    assert check_all(several(tests, 4), good, judge, tmp_path) > 25


@pytest.mark.slow
def test_all_files_that_ship_with_pydicom(good, judge, tmp_path):
    assert check_all(find_files(SHIPPED), good, judge, tmp_path) > 250


def test_all_of_them_at_once(good, judge, tmp_path):
    verdicts = judge(SHIPPED, good)
    assert {verdict.study: verdict for verdict in verdicts}["1.2.3"].outcome.code == "accepted"
    assert sum(verdict.refused for verdict in verdicts) == len(verdicts) - 1 > 20


@pytest.mark.real
def test_hostile_files(real_data, good, judge, tmp_path):
    files = [path for folder in ("hostile", "wrong_anatomy") for path in find_files(real_data / folder)]
    assert check_all(several(files, 8), good, judge, tmp_path) > 20


@pytest.mark.real
@pytest.mark.slow
def test_all_hostile_files(real_data, good, judge, tmp_path):
    files = [path for folder in ("hostile", "wrong_anatomy") for path in find_files(real_data / folder)]
    assert check_all(files, good, judge, tmp_path) > 200


def test_a_good_study_is_the_same_amid_hostile_files(good, tmp_path):
    """Whatever lies beside it, and with several processes."""
    series = shutil.copytree(good, tmp_path / "series")
    preprocess(Sources((series,)), tmp_path / "clean", CONFIG)
    for number, path in enumerate(several(find_files(SHIPPED / "test_files"), 6)):
        shutil.copy(path, series / f"zz{number}")
    summary = preprocess(Sources((series,), workers=2), tmp_path / "amid", CONFIG)
    assert (summary.n_done, summary.complete) == (1, True)
    clean, amid = (StudyStore.open(tmp_path / name).read_study("1.2.3") for name in ("clean", "amid"))
    np.testing.assert_array_equal(amid.hu, clean.hu)
    assert set(amid.flags) - set(clean.flags) <= {"damaged_files"}
