"""Enhanced multi-frame CT: the same volume as from one file a slice, whatever the order of its frames."""

import copy
import zipfile

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.sequence import Sequence

from pectl.config import PreprocessConfig
from pectl.core.dicom.headers import find_files, read_header
from pectl.core.intake.choice.series import exclusion
from pectl.core.intake.examine import examine, make_study
from pectl.core.intake.index import index_files
from pectl.core.intake.study_labels import StudyLabels
from pectl.core.intake.volume import read_volume
from pectl.core.volumes.stated import Given

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


def parts_of(dataset, counts):
    """Cut an enhanced CT into files of so many frames, each with a SOPInstanceUID of its own; a concatenation."""
    if len(counts) == 1:
        yield dataset
        return
    frames, size = dataset.PerFrameFunctionalGroupsSequence, 2 * dataset.Rows * dataset.Columns
    pixels = dataset.PixelData
    dataset.PerFrameFunctionalGroupsSequence, dataset.PixelData = Sequence(), b""
    ends = np.cumsum(counts)
    for number, (count, end) in enumerate(zip(counts, ends, strict=True), start=1):
        part = copy.deepcopy(dataset)
        part.SOPInstanceUID = part.file_meta.MediaStorageSOPInstanceUID = f"{dataset.SOPInstanceUID}.{number}"
        part.ConcatenationUID, part.InConcatenationNumber = "1.2.3.4", number
        part.ConcatenationFrameOffsetNumber, part.NumberOfFrames = int(end - count), int(count)
        part.PerFrameFunctionalGroupsSequence = Sequence(frames[end - count : end])
        part.PixelData = pixels[(end - count) * size : end * size]
        yield part


def frame_of(source, shared):
    frame = Dataset()
    for name, keywords in GROUPS.items():
        if name not in shared:
            setattr(frame, name, Sequence([item_of(source, keywords)]))
    frame.CTImageFrameTypeSequence = Sequence([Dataset()])
    frame.CTImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    return frame


def group_slices(slices, shared):
    """Return one enhanced CT of these slices, uncompressed."""
    dataset = copy.deepcopy(slices[0])
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedCTImageStorage
    dataset.NumberOfFrames = len(slices)
    dataset.PixelData = b"".join(one.PixelData for one in slices)
    for keyword in [keyword for keywords in GROUPS.values() for keyword in keywords] + ["ConvolutionKernel"]:
        delattr(dataset, keyword)
    common = Dataset()
    for name in shared:
        setattr(common, name, Sequence([item_of(slices[0], GROUPS[name])]))
    common.CTReconstructionSequence = Sequence([item_of_values(ConvolutionKernel=["Br40", "3"])])
    dataset.SharedFunctionalGroupsSequence = Sequence([common])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([frame_of(one, shared) for one in slices])
    dataset.ContrastBolusAgentSequence = Sequence([item_of_values(CodeValue="C-B0300")])
    return dataset


@pytest.fixture
def classic(tmp_path, write_series):
    """One file a slice; every third with a rescale of its own."""

    def edit(dataset, place):
        if place % 3 == 0:
            dataset.RescaleIntercept = -1000
            dataset.PixelData = (np.frombuffer(dataset.PixelData, np.uint16) - 24).tobytes()

    write_series(tmp_path / "classic", n_slices=N, size=(SIDE, SIDE), pixel_spacing_mm=(6, 6), edit=edit)
    return tmp_path / "classic"


def item_of_values(**values):
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


@pytest.fixture
def enhanced(tmp_path, classic):
    """Put these slices into one file, in the order of their names, which isn't theirs."""

    def make(
        *,
        shared=("PlaneOrientationSequence", "PixelMeasuresSequence"),
        syntax=None,
        edit=lambda dataset: None,
        arrange=list,
        parts=None,
        encapsulate=None,
    ):
        slices = arrange([pydicom.dcmread(path) for path in sorted(classic.iterdir())])
        dataset = group_slices(slices, shared)
        edit(dataset)
        folder = tmp_path / "enhanced"
        folder.mkdir(exist_ok=True)
        for number, one in enumerate(parts_of(dataset, parts or [N]), start=1):
            if syntax:
                one.compress(syntax)
            if encapsulate:
                encapsulate(one)
            one.save_as(folder / f"IM{number}", enforce_file_format=True)
        return folder if parts else folder / "IM1"

    return make


def headers_of(path, tmp_path):
    cohort = index_files(Given([path]), folder=tmp_path / "index", known=lambda uid: False)
    return cohort.task("1.2.3").headers


def volume_of(headers):
    return read_volume(tuple(headers), min_slices=4, max_gap_mm=10.0)


def height(dataset):
    return float(dataset.ImagePositionPatient[2])


def streams_of(dataset):
    return list(generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames)))


def fragment(dataset, count, *, has_bot=False):
    dataset.PixelData = encapsulate(streams_of(dataset), fragments_per_frame=count, has_bot=has_bot)


def extended_offsets(dataset):
    data, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(streams_of(dataset))
    dataset.PixelData = data


JPEG_LS = pydicom.uid.JPEGLSLossless
VARIANTS = {
    "geometry shared": {},
    "all per frame": {"shared": ()},
    "RLE": {"syntax": pydicom.uid.RLELossless},
    "JPEG 2000": {"syntax": pydicom.uid.JPEG2000Lossless},
    "JPEG-LS": {"syntax": pydicom.uid.JPEGLSLossless},
    "frames from head to feet": {"arrange": lambda slices: sorted(slices, key=height, reverse=True)},
    "rescale shared by what is alike, per frame": {"shared": ("PlaneOrientationSequence",)},
    "no offset table, one fragment a frame": {"syntax": JPEG_LS, "encapsulate": lambda one: fragment(one, 1)},
    "no offset table, three fragments a frame": {"syntax": JPEG_LS, "encapsulate": lambda one: fragment(one, 3)},
    "Basic Offset Table, three fragments a frame": {
        "syntax": JPEG_LS,
        "encapsulate": lambda one: fragment(one, 3, has_bot=True),
    },
    "Extended Offset Table": {"syntax": JPEG_LS, "encapsulate": lambda one: extended_offsets(one)},
    "one frame a file": {"parts": [1] * N},
    "one frame a file, all per frame": {"parts": [1] * N, "shared": ()},
    "one frame a file, all shared but the position": {
        "parts": [1] * N,
        "shared": ("PlaneOrientationSequence", "PixelMeasuresSequence"),
        "syntax": JPEG_LS,
    },
    "a concatenation whose last part is one frame": {"parts": [20, 15, 1]},
    "a concatenation whose last part is one fragmented frame": {
        "parts": [20, 15, 1],
        "syntax": JPEG_LS,
        "encapsulate": lambda one: fragment(one, 3),
    },
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


def test_a_file_of_one_frame_is_named_as_a_slice_is(tmp_path, enhanced):
    headers = headers_of(enhanced(parts=[20, 15, 1]), tmp_path)
    uids = [header.image_uid for header in headers]
    sop_uid = uids[0].split("#")[0].rsplit(".", 1)[0]
    assert uids[0] == f"{sop_uid}.1#1"
    assert uids[20] == f"{sop_uid}.2#1"
    assert uids[-1] == f"{sop_uid}.3"
    assert len(set(uids)) == N


def test_one_rescale_shared_by_all_frames(tmp_path, write_series, enhanced):
    def same_rescale(dataset):
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            del frame.PixelValueTransformationSequence
        common = item_of_values(RescaleSlope=2, RescaleIntercept=-1100)
        dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = Sequence([common])

    headers = headers_of(enhanced(edit=same_rescale), tmp_path)
    assert {(header.slope, header.intercept) for header in headers} == {(2.0, -1100.0)}


def test_a_frames_own_rescale_goes_before_the_shared_one(tmp_path, enhanced):
    def both(dataset):
        common = item_of_values(RescaleSlope=3, RescaleIntercept=0)
        dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = Sequence([common])

    headers = headers_of(enhanced(edit=both), tmp_path)
    assert {header.slope for header in headers} == {1.0}
    assert {header.intercept for header in headers} == {-1000.0, -1024.0}


def test_rounded_positions_are_one_stack(tmp_path, enhanced):
    """Positions to a tenth of a millimetre, as some writers have them: steps of 6.0 mm stay regular."""

    def rounded(dataset):
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            plane = frame.PlanePositionSequence[0]
            plane.ImagePositionPatient = [round(float(value) + 0.04, 1) for value in plane.ImagePositionPatient]

    volume = volume_of(headers_of(enhanced(edit=rounded), tmp_path))
    assert volume.stack.step_mm == pytest.approx(6.0)
    assert [finding.code for finding in volume.findings] == ["thick_slices"]


def test_one_frame_with_all_in_its_shared_groups(tmp_path, enhanced):
    def move(dataset):
        frame = dataset.PerFrameFunctionalGroupsSequence[0]
        for name in GROUPS:
            if name in frame:
                setattr(dataset.SharedFunctionalGroupsSequence[0], name, frame[name].value)
        del dataset.PerFrameFunctionalGroupsSequence
        dataset.NumberOfFrames, dataset.PixelData = 1, dataset.PixelData[: 2 * SIDE * SIDE]

    [header] = headers_of(enhanced(edit=move, parts=None), tmp_path)
    assert exclusion(header, max_lean_deg=30.0) is None


def test_a_classic_slice_with_groups_that_say_less_keeps_its_own_geometry(tmp_path, classic):
    path = min(classic.iterdir())
    dataset = pydicom.dcmread(path)
    before = read_header(path)
    dataset.SharedFunctionalGroupsSequence = Sequence([Dataset()])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([Dataset()])
    dataset.save_as(tmp_path / "one", enforce_file_format=True)
    [after] = headers_of(tmp_path / "one", tmp_path)
    names = ("position", "orientation", "pixel_spacing_mm", "slice_thickness_mm", "slope", "intercept", "image_type")
    assert [getattr(after, name) for name in names] == [getattr(before, name) for name in names]
    assert None not in [getattr(after, name) for name in names]


def test_one_frame_a_file_in_implicit_vr(tmp_path, classic, enhanced):
    folder = enhanced(parts=[1] * N)
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        dataset.save_as(path, enforce_file_format=True)
    expected = volume_of(read_header(path) for path in find_files(classic))
    np.testing.assert_array_equal(volume_of(headers_of(folder, tmp_path)).hu, expected.hu)


def test_groups_without_a_position_of_one_frame_are_named(tmp_path, enhanced):
    def strip(dataset):
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            del frame.PlanePositionSequence

    headers = headers_of(enhanced(parts=[1] * N, edit=strip), tmp_path)
    assert {exclusion(header, max_lean_deg=30.0) for header in headers} == {"no_geometry"}


def test_an_archive_holds_files_of_one_frame_too(tmp_path, enhanced, classic):
    folder = enhanced(parts=[1] * N)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    assert [exclusion(one, max_lean_deg=30.0) for one in headers_of(tmp_path / "a.zip", tmp_path)] == [None] * N


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
