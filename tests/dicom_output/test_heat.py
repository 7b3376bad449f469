"""Heat as a Parametric Map and as a segmentation, and the selection of slices."""

import highdicom
import numpy as np
import pydicom
import pytest

from pectl.dicom_output.result import Kind
from pectl.dicom_output.write import write_dicom
from tests.dicom_output.conftest import DIGEST, make_heat, slice_uid


def frames_of(dataset) -> dict[str, tuple[float, int]]:
    """Return position and place in the pixels of each frame, by the slice it was made of; highdicom orders frames."""
    frames = {}
    for place, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        [source] = frame.DerivationImageSequence[0].SourceImageSequence
        position = float(frame.PlanePositionSequence[0].ImagePositionPatient[2])
        frames[str(source.ReferencedSOPInstanceUID)] = (position, place)
    return frames


def test_the_map_holds_the_painted_slices_at_their_places(written) -> None:
    heat = pydicom.dcmread(written["heat.dcm"])
    frames = frames_of(heat)
    positions = {uid: position for uid, (position, _) in frames.items()}
    # slices 4, 5, 6 of twelve, 6 mm apart; slice 7 reaches 5 %, which isn't painted
    assert positions == {slice_uid(4): -9.0, slice_uid(5): -3.0, slice_uid(6): 3.0}
    assert heat.FrameOfReferenceUID == "1.2.3.9"
    assert heat.pixel_array.dtype == np.uint16
    for uid, (_, place) in frames.items():
        assert heat.pixel_array[place].tolist() == np.rint(make_heat()[uid] * 65535).tolist()


def test_the_map_in_real_world_values(written) -> None:
    image = highdicom.pm.ParametricMap.from_dataset(pydicom.dcmread(written["heat.dcm"]))
    heat = image.get_frames(apply_real_world_transform=True)
    place = {uid: place for uid, (_, place) in frames_of(image).items()}
    assert heat[place[slice_uid(5)]][10, 20] == pytest.approx(1.0)
    assert heat[place[slice_uid(5)]][11, 20] == pytest.approx(0.5, abs=1e-5)
    assert heat[place[slice_uid(6)]][10, 20] == pytest.approx(0.75, abs=1e-5)


def test_the_map_says_what_it_is(written) -> None:
    heat = pydicom.dcmread(written["heat.dcm"])
    assert heat.SOPClassUID == "1.2.840.10008.5.1.4.1.1.30"
    assert heat.ContentQualification == "RESEARCH"
    [shared] = heat.SharedFunctionalGroupsSequence
    [mapping] = shared.RealWorldValueMappingSequence
    [quantity] = mapping.QuantityDefinitionSequence
    assert quantity.ConceptCodeSequence[0].CodeValue == "130403"
    assert mapping.LUTExplanation == "layer-cam heat as a share of the study's peak"


def test_the_segmentation_is_of_half_the_peak_and_more(written) -> None:
    path = written["seg.dcm"]
    segmentation = highdicom.seg.segread(path)
    assert segmentation.SegmentationType == "BINARY"
    uids = [slice_uid(5), slice_uid(6)]
    pixels = segmentation.get_pixels_by_source_instance(uids)[..., 0]
    hot = [tuple(map(int, place)) for place in np.argwhere(pixels)]
    assert hot == [(0, 10, 20), (0, 11, 20), (1, 10, 20)]
    [segment] = pydicom.dcmread(path).SegmentSequence
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "309825002"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "130403"
    assert segment.SegmentLabel == "layer-cam heat of 50% of the study's peak or more"
    [algorithm] = segment.SegmentationAlgorithmIdentificationSequence
    assert DIGEST in algorithm.AlgorithmParameters


def test_the_selection_names_the_key_slices(written) -> None:
    path = written["kos.dcm"]
    selection = highdicom.ko.KeyObjectSelectionDocument.from_dataset(pydicom.dcmread(path))
    references = selection.content.get_references()
    assert [item.referenced_sop_instance_uid for item in references] == [slice_uid(5), slice_uid(6)]
    assert selection.resolve_reference(slice_uid(5)) == ("1.2.3", "1.2.3.1", slice_uid(5))
    document = pydicom.dcmread(path)
    assert document.ConceptNameCodeSequence[0].CodeMeaning == "Of Interest"
    images = [item for item in document.ContentSequence if item.ValueType == "IMAGE"]
    assert all("ConceptNameCodeSequence" not in item for item in images)  # TID 2010
    assert document.Modality == "KO"


def test_dciodvfy_finds_nothing(written, judge) -> None:
    assert [judge(written[name]) for name in ("heat.dcm", "seg.dcm", "kos.dcm")] == [[]] * 3


@pytest.mark.parametrize(
    ("kind", "changes", "code", "reason"),
    [
        (Kind.HEAT, {"heat": {}}, "no_heat", "no slice holds 8% of the study's peak or more"),
        (Kind.SEG, {"heat": {slice_uid(4): np.full((48, 64), 0.49, np.float32)}}, "no_heat", "50% of the study's peak"),
        (Kind.KOS, {"key_images": ()}, "no_key_images", "names no slice"),
        (Kind.KEY_IMAGES, {"key_images": ()}, "no_key_images", "names no slice"),
    ],
)
def test_what_cannot_be_written_is_named(original, make_result, tmp_path, kind, changes, code, reason) -> None:
    written = write_dicom(make_result(**changes), original, tmp_path / "out", [kind, Kind.SR])
    [skipped] = written.skipped
    assert (skipped.kind, skipped.code) == (kind, code)
    assert reason in skipped.reason
    assert [path.name for path in (tmp_path / "out" / "1.2.3").iterdir()] == ["sr.dcm"]
