"""Masks and boxes land on the slices that they are of: each trap of a set by hand, on slices of 4 x 5 pixels."""

from pathlib import Path

import h5py
import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy.io import savemat

from pectl.core.places.mask import Slices, read_numbers
from pectl.core.places.source import PlacesSource
from pectl.errors import StudyRefusedError
from tests.core.places.headers import header


def upwards(names: list[str], step_mm: float = 1.5) -> Slices:
    """Slices from feet to head whose files have these names."""
    used = [header(k, name, z_mm=10 + step_mm * k) for k, name in enumerate(names)]
    return Slices(used, used[::-1])


NAMED = ["D0003.dcm", "D0002.dcm", "D0001.dcm"]
"""Files that are named from head to feet, as in some patients of FUMPE."""


def refusal(source: PlacesSource, slices: Slices) -> tuple[str, str]:
    with pytest.raises(StudyRefusedError) as error:
        read_numbers(source, slices)
    return error.value.code, str(error.value)


def matlab(path: Path, mask: np.ndarray, kind: str) -> PlacesSource:
    """Write the variable Mask, (row, column, slice), in the old format or in that of 7.3."""
    if kind == "5":
        savemat(path, {"Mask": mask, "other": 1.0}, do_compression=True)
    else:
        with h5py.File(path, "w", userblock_size=512) as file:
            file["Mask"] = mask.T
        with path.open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file")
    return PlacesSource("file-order", path)


@pytest.mark.parametrize("kind", ["5", "7.3"])
def test_slices_of_matlab_masks_follow_the_file_names(tmp_path, kind):
    mask = np.zeros((4, 5, 3), np.uint8)
    mask[1, 4, 0] = 1  # of D0001, which lies highest
    found = read_numbers(matlab(tmp_path / "PAT001.mat", mask, kind), upwards(NAMED))
    assert np.argwhere(found).tolist() == [[2, 1, 4]]


def test_a_slice_left_out_is_left_out_of_the_mask_too(tmp_path):
    mask = np.zeros((4, 5, 3), np.uint8)
    mask[:, :, 0], mask[0, 0, 2] = 1, 1
    source, slices = matlab(tmp_path / "a.mat", mask, "5"), upwards(NAMED)
    found = read_numbers(source, Slices(slices.used[:2], slices.series))  # D0001 is a copy of another slice
    assert np.argwhere(found).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("kind", ["5", "7.3"])
def test_matlab_masks_of_another_shape_or_variable(tmp_path, kind):
    source = matlab(tmp_path / "a.mat", np.zeros((5, 4, 3), np.uint8), kind)
    code, text = refusal(source, upwards(NAMED))
    assert code == "places_mismatch"
    assert "expected 4 x 5 x 3 rows, columns and files of the series, found 5 x 4 x 3" in text
    assert "check that it is the file of this study" in text
    assert refusal(matlab(tmp_path / "a.mat", np.array([["a"]]), "5"), upwards(NAMED))[0] == "places_unreadable"
    savemat(tmp_path / "a.mat", {"mask": np.zeros((4, 5, 3))})
    assert "numbers in the variable Mask, found 1 other" in refusal(source, upwards(NAMED))[1]


def test_damaged_matlab_masks(tmp_path):
    source = matlab(tmp_path / "a.mat", np.random.default_rng(0).integers(0, 2, (4, 5, 3)), "5")
    whole = source.path.read_bytes()
    for part in (b"", b"no such thing" * 20, whole[:150], whole[: len(whole) // 2], b"MATLAB 7.3" + whole[10:]):
        source.path.write_bytes(part)
        assert refusal(source, upwards(NAMED))[0] == "places_unreadable"
    source.path.unlink()
    assert refusal(source, upwards(NAMED)) == (
        "places_unreadable",
        "masks or boxes: expected a file of masks or boxes, found No such file or directory; "
        "check that it is the file of this study",
    )


@pytest.mark.parametrize(
    ("names", "found"), [(["1.dcm", "2.dcm", "10.dcm"], "isn't certain"), (["a", "b", "a"], "one name twice")]
)
def test_names_without_an_order(tmp_path, names, found):
    source = matlab(tmp_path / "a.mat", np.zeros((4, 5, 3), np.uint8), "5")
    code, text = refusal(source, upwards(names))
    assert (code, found in text) == ("places_mismatch", True)


def test_slice_index_pairs_arrays_whatever_the_headers_say(tmp_path):
    """READ: the images' own normal points to the feet, so that slice 0 is the highest; the label's z goes up."""
    down = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    used = [header(k, f"{k}.dcm", z_mm=10 + 0.625 * k, orientation=down) for k in range(3)]
    mask = np.zeros((5, 4, 3), np.uint8)  # (column, row, slice)
    mask[4, 1, 0] = 1
    nib.save(nib.Nifti1Image(mask, np.diag([0.5, 0.8, 0.62598, 1])), tmp_path / "01GE.nii.gz")
    source = PlacesSource("slice-index", tmp_path / "01GE.nii.gz")
    assert np.argwhere(read_numbers(source, Slices(used, used))).tolist() == [[2, 1, 4]]
    axial = [header(k, f"{k}.dcm", z_mm=10 + 0.625 * k) for k in range(3)]
    assert np.argwhere(read_numbers(source, Slices(axial, axial))).tolist() == [[0, 1, 4]]


def test_slice_index_of_another_count(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((5, 4, 2), np.uint8), np.eye(4)), tmp_path / "a.nii.gz")
    code, text = refusal(PlacesSource("slice-index", tmp_path / "a.nii.gz"), upwards(NAMED))
    assert code == "places_mismatch"
    assert "expected the images' 3 x 4 x 5 slices, rows and columns, found 2 x 4 x 5" in text


def lps_mask(mask: np.ndarray, *, origin=(-1.0, -2.0, 10.0)) -> sitk.Image:
    """A mask (slice, row, column) at the place of `upwards`."""
    image = sitk.GetImageFromArray(mask)
    image.SetSpacing((0.5, 0.8, 1.5))
    image.SetOrigin(origin)
    return image


@pytest.mark.parametrize("axes", ["LPS", "RAS", "LPI", "SRA"])
@pytest.mark.parametrize("name", ["a.nrrd", "a.nii.gz", "a.mha"])
def test_volumes_of_numbers_lie_where_their_header_says(tmp_path, axes, name):
    """CAD-PE: two emboli that touch keep their numbers, 1 and 3 become 1 and 2."""
    mask = np.zeros((3, 4, 5), np.uint8)
    mask[0, 1, 4], mask[1, 1, 4], mask[2, 3, 0] = 1, 3, 1
    sitk.WriteImage(sitk.DICOMOrient(lps_mask(mask), axes), str(tmp_path / name))
    found = read_numbers(PlacesSource("volume", tmp_path / name, numbered=True), upwards(NAMED))
    assert {tuple(at): int(found[tuple(at)]) for at in np.argwhere(found)} == {(0, 1, 4): 1, (1, 1, 4): 2, (2, 3, 0): 1}
    parts = read_numbers(PlacesSource("volume", tmp_path / name), upwards(NAMED))
    assert (parts[0, 1, 4], parts[1, 1, 4], parts[2, 3, 0]) == (1, 1, 2)


@pytest.mark.parametrize(
    ("shape", "origin", "found"),
    [
        ((3, 4, 6), (-1.0, -2.0, 10.0), "3 x 4 x 6"),
        ((3, 4, 5), (-1.0, -2.0, 11.5), "one that lies 1.0 voxels off"),
        ((3, 4, 5), (-1.2, -2.0, 10.0), None),
    ],
)
def test_volumes_at_another_place(tmp_path, shape, origin, found):
    sitk.WriteImage(lps_mask(np.ones(shape, np.uint8), origin=origin), str(tmp_path / "a.nrrd"))
    source = PlacesSource("volume", tmp_path / "a.nrrd")
    if found is None:  # by less than half a voxel
        assert read_numbers(source, upwards(NAMED)).all()
    else:
        code, text = refusal(source, upwards(NAMED))
        assert (code, found in text) == ("places_mismatch", True)


def test_volumes_of_other_voxels_or_without_a_place(tmp_path):
    image = lps_mask(np.ones((3, 4, 5), np.uint8))
    image.SetSpacing((0.5, 0.8, 3.0))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    source = PlacesSource("volume", tmp_path / "a.nrrd")
    assert "voxels of the images' size and axes, found others" in refusal(source, upwards(NAMED))[1]
    nrrd.write(str(tmp_path / "a.nrrd"), np.ones((5, 4, 3), np.uint8))
    assert "no spacing in its header" in refusal(source, upwards(NAMED))[1]


def test_what_is_no_mask(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004\nsizes: 1 1\n\n")
    code, text = refusal(PlacesSource("volume", tmp_path / "a.nrrd"), upwards(NAMED))
    assert (code, "a whole NRRD file" in text) == ("places_unreadable", True)
    assert "a mask as NIfTI" in refusal(PlacesSource("slice-index", tmp_path / "a.txt"), upwards(NAMED))[1]
    image = nib.Nifti1Image(np.full((5, 4, 3), np.nan, np.float32), np.eye(4))
    nib.save(image, tmp_path / "a.nii")
    assert "NaN or infinite" in refusal(PlacesSource("slice-index", tmp_path / "a.nii"), upwards(NAMED))[1]


BOXES = "StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,Artery,x,y,width,height\n"


def boxes(tmp_path: Path, *rows: str) -> PlacesSource:
    path = tmp_path / f"boxes{len(list(tmp_path.iterdir()))}.csv"  # tables are read once
    path.write_text(BOXES + "".join(f"{row}\n" for row in rows))
    return PlacesSource("boxes", path, complete=False)


def test_every_box_of_a_slice_counts(tmp_path):
    """x counts columns and y rows, from the upper left corner; a pixel that a box touches is inside."""
    rows = ("1.2,1.2.3,1.2.3.0,L,0,0,1,2", "1.2,1.2.3,1.2.3.0,R,3,1.5,2,1", "1.2,1.2.3,1.2.3.1,R,4,2,1,1")
    found = read_numbers(boxes(tmp_path, *rows, "9.9,1,1.2.3.0,L,0,0,5,4"), upwards(NAMED))
    assert found.tolist() == [
        [[1, 0, 0, 0, 0], [1, 0, 0, 2, 2], [0, 0, 0, 2, 2], [0, 0, 0, 0, 0]],
        [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 2], [0, 0, 0, 0, 0]],
        [[0] * 5] * 4,
    ]


@pytest.mark.parametrize(
    ("row", "code", "found"),
    [
        ("1.2,1.2.3,1.2.3.9,L,0,0,1,1", "places_mismatch", "none of 1"),
        ("9.9,1.2.3,1.2.3.0,L,0,0,1,1", "places_mismatch", "none of 0"),
        ("1.2,1.2.3,1.2.3.0,L,4,0,3,1", "places_mismatch", "one beyond them"),
        ("1.2,1.2.3,1.2.3.0,L,0,0,0,1", "places_unreadable", "none in line 2"),
        ("1.2,1.2.3,1.2.3.0,L,0,0,1,", "places_unreadable", "none in line 2"),
        ("1.2,1.2.3", "places_unreadable", "fields in line 2"),
    ],
)
def test_boxes_that_can_not_be_used(tmp_path, row, code, found):
    got, text = refusal(boxes(tmp_path, row), upwards(NAMED))
    assert (got, found in text) == (code, True), text


def test_a_table_without_boxes(tmp_path):
    (tmp_path / "a.csv").write_text("StudyInstanceUID,x\n1,2\n")
    code, text = refusal(PlacesSource("boxes", tmp_path / "a.csv"), upwards(NAMED))
    assert (code, "no SOPInstanceUID, y, width, height" in text) == ("places_unreadable", True)
