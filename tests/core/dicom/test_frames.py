"""Enhanced multi-frame CT: the same volume as from one file a slice, whatever the order of its frames."""

import zipfile

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from pectl.config import PreprocessConfig
from pectl.core.dicom.headers import find_files, read_header
from pectl.core.intake.examine import StudyLabels, examine, make_study
from pectl.core.intake.index import index_files
from pectl.core.intake.series import exclusion
from pectl.core.intake.volume import read_volume

N, SIDE = 36, 64
CONFIG = PreprocessConfig(in_plane_px=32, slice_spacing_mm=6.0)
GROUPS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
}


def item_of(source, keywords):
    item = Dataset()
    for keyword in keywords:
        setattr(item, keyword, getattr(source, keyword))
    return item


@pytest.fixture
def classic(tmp_path, write_series):
    """One file a slice; every third with a rescale of its own."""

    def edit(dataset, place):
        if place % 3 == 0:
            dataset.RescaleIntercept = -1000
            dataset.PixelData = (np.frombuffer(dataset.PixelData, np.uint16) - 24).tobytes()

    write_series(tmp_path / "classic", n_slices=N, size=(SIDE, SIDE), pixel_spacing_mm=(6, 6), edit=edit)
    return tmp_path / "classic"


@pytest.fixture
def enhanced(tmp_path, classic):
    """Put these slices into one file, in the order of their names, which isn't theirs."""

    def make(*, shared=("PlaneOrientationSequence", "PixelMeasuresSequence"), syntax=None, edit=lambda dataset: None):
        slices = [pydicom.dcmread(path) for path in sorted(classic.iterdir())]
        dataset = pydicom.dcmread(min(classic.iterdir()))
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedCTImageStorage
        dataset.NumberOfFrames = len(slices)
        dataset.PixelData = b"".join(one.PixelData for one in slices)
        for keyword in [keyword for keywords in GROUPS.values() for keyword in keywords] + ["ConvolutionKernel"]:
            delattr(dataset, keyword)
        common, frames = Dataset(), []
        for name in shared:
            setattr(common, name, Sequence([item_of(slices[0], GROUPS[name])]))
        reconstruction = Dataset()
        reconstruction.ConvolutionKernel = ["Br40", "3"]
        common.CTReconstructionSequence = Sequence([reconstruction])
        for one in slices:
            frame = Dataset()
            for name, keywords in GROUPS.items():
                if name not in shared:
                    setattr(frame, name, Sequence([item_of(one, keywords)]))
            frame.CTImageFrameTypeSequence = Sequence([Dataset()])
            frame.CTImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
            frames.append(frame)
        dataset.SharedFunctionalGroupsSequence = Sequence([common])
        dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
        agent = Dataset()
        agent.CodeValue = "C-B0300"
        dataset.ContrastBolusAgentSequence = Sequence([agent])
        edit(dataset)
        if syntax:
            dataset.compress(syntax)
        folder = tmp_path / "enhanced"
        folder.mkdir(exist_ok=True)
        dataset.save_as(folder / "IM1", enforce_file_format=True)
        return folder / "IM1"

    return make


def headers_of(path, tmp_path):
    cohort = index_files([path], folder=tmp_path / "index", known=lambda uid: False)
    return cohort.task("1.2.3").headers


def volume_of(headers):
    return read_volume(tuple(headers), min_slices=4, max_gap_mm=10.0)


VARIANTS = {
    "geometry shared": {},
    "all per frame": {"shared": ()},
    "RLE": {"syntax": pydicom.uid.RLELossless},
    "JPEG 2000": {"syntax": pydicom.uid.JPEG2000Lossless},
    "JPEG-LS": {"syntax": pydicom.uid.JPEGLSLossless},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_frames_are_the_slices_of_the_same_volume(tmp_path, classic, enhanced, options):
    expected = volume_of(read_header(path) for path in find_files(classic))
    headers = headers_of(enhanced(**options), tmp_path)
    found = volume_of(headers)
    np.testing.assert_array_equal(found.hu, expected.hu)
    np.testing.assert_allclose(found.stack.position_mm, expected.stack.position_mm)
    assert {(header.kernel, header.contrast, header.image_type[0]) for header in headers} == {
        ("BR40", True, "ORIGINAL")
    }


def test_frames_become_a_study_whose_slices_are_named_by_frame(tmp_path, enhanced):
    headers = headers_of(enhanced(), tmp_path)
    examined = examine("1.2.3", headers, CONFIG, labels=StudyLabels())
    assert examined.verdict.outcome.code == "accepted"
    source = make_study(examined.usable, examined.verdict, CONFIG, StudyLabels()).source
    sop_uid = headers[0].sop_uid
    assert sorted(source.sop_instance_uid) == sorted(f"{sop_uid}#{number}" for number in range(1, N + 1))
    at = dict(zip(source.sop_instance_uid, source.position_mm, strict=True))
    assert all(at[header.image_uid] == pytest.approx(header.position[2]) for header in headers)


def test_an_archive_holds_frames_too(tmp_path, enhanced, classic):
    path = enhanced()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "IM1")
    examined = examine("1.2.3", headers_of(tmp_path / "a.zip", tmp_path), CONFIG, labels=StudyLabels())
    expected = volume_of(read_header(path) for path in find_files(classic))
    np.testing.assert_array_equal(examined.usable.volume.hu, expected.hu)


def without_groups(dataset):
    del dataset.PerFrameFunctionalGroupsSequence


def more_frames(dataset):
    dataset.NumberOfFrames = 100_000_000


def rubbish(dataset):
    dataset.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0].ImagePositionPatient = [1, 2]


@pytest.mark.parametrize("edit", [without_groups, more_frames])
def test_frames_without_a_position_each_are_named(tmp_path, enhanced, edit):
    [header] = headers_of(enhanced(edit=edit), tmp_path)
    assert exclusion(header, max_lean_deg=30.0) == "multi_frame"


def test_a_frame_of_rubbish_is_left_to_the_choice(tmp_path, enhanced):
    headers = headers_of(enhanced(edit=rubbish), tmp_path)
    assert [exclusion(header, max_lean_deg=30.0) for header in headers].count("multi_frame") == 1


def test_truncated_frames_are_refused(tmp_path, enhanced):
    path = enhanced()
    path.write_bytes(path.read_bytes()[:-100])
    outcome = examine("1.2.3", headers_of(path, tmp_path), CONFIG, labels=StudyLabels()).verdict.outcome
    assert outcome.code == "truncated_pixel_data"
