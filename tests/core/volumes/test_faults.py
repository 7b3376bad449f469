"""What is wrong with a volume file is a code with a detail, and nothing of its header's text."""

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from pectl.core.intake.examine import Examined
from pectl.core.volumes.stated import Stated
from tests.core.volumes.conftest import Write

Judge = Callable[..., Examined]


def _outcome(found: Examined) -> tuple[str, str]:
    assert found.usable is None
    return found.verdict.outcome.code, found.verdict.outcome.detail


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "raw.nii", "raw.nrrd", "raw.mha"])
@pytest.mark.parametrize("share", [0.5, 0.99999])
def test_cut_off_files(name: str, share: float, write_volume: Write, examined: Judge) -> None:
    path = write_volume(name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert _outcome(examined(path))[0] == "truncated_pixel_data"


def test_a_gzip_without_its_checksum_and_one_that_differs(write_volume: Write, examined: Judge) -> None:
    path = write_volume("a.nii.gz")
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    code, detail = _outcome(examined(path))
    assert code == "truncated_pixel_data"
    assert "found less: it breaks off or is damaged" in detail
    path.write_bytes(whole[:-8] + bytes(4) + whole[-4:])
    assert _outcome(examined(path))[0] == "truncated_pixel_data"


def test_a_gzip_that_holds_more_than_its_header_says(write_volume: Write, examined: Judge) -> None:
    path = write_volume("a.nii.gz")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(100)))
    code, detail = _outcome(examined(path))
    assert code == "truncated_pixel_data"
    assert "found more" in detail


def test_what_is_no_nifti_at_all(tmp_path: Path, examined: Judge) -> None:
    for name in ("a.nii.gz", "a.nii", "a.nrrd", "a.mha", "a.npy", "a.npz"):
        (tmp_path / name).write_bytes(b"Doe^Jane, born in 1950")
        code, detail = _outcome(examined(tmp_path / name, Stated(spacing_mm=(1, 1, 1))))
        assert code == "damaged_volume", name
        assert "Doe" not in detail


def test_time_series_and_colours(write_volume: Write, tmp_path: Path, examined: Judge) -> None:
    values = np.zeros((20, 20, 20, 3), np.int16)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "four.nii")
    assert _outcome(examined(tmp_path / "four.nii")) == (
        "not_3d",
        "volume file: expected three axes, found 4: 3 x 20 x 20 x 20; export one volume a file",
    )
    colours = sitk.GetImageFromArray(np.zeros((20, 20, 20, 3), np.uint8), isVector=True)
    for name in ("rgb.nii.gz", "rgb.nrrd", "rgb.mha"):
        sitk.WriteImage(colours, str(tmp_path / name))
        assert _outcome(examined(tmp_path / name))[0] in ("not_scalar", "not_3d")


def test_a_single_volume_in_a_fourth_axis_is_taken(write_volume: Write, tmp_path: Path, examined: Judge) -> None:
    image = nib.load(write_volume("raw.nii"))
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[..., None], image.affine), tmp_path / "one.nii.gz")
    assert examined(tmp_path / "one.nii.gz").usable is not None


def test_no_spacing_is_refused_unless_stated(write_volume: Write, tmp_path: Path, examined: Judge) -> None:
    path = write_volume("raw.mha")
    path.write_bytes(b"\n".join(line for line in path.read_bytes().split(b"\n") if b"ElementSpacing" not in line))
    code, detail = _outcome(examined(path))
    assert code == "no_spacing"
    assert detail.endswith("found none in the file; state it with --spacing Z,Y,X in mm")
    image = nib.load(write_volume("raw.nii"))
    image.header.set_sform(None, code=0)
    image.header.set_qform(None, code=0)
    image.header["pixdim"][1:4] = 0
    (tmp_path / "b.nii").write_bytes(image.header.binaryblock + bytes(4) + np.asarray(image.dataobj).tobytes("F"))
    assert _outcome(examined(tmp_path / "b.nii"))[0] == "no_spacing"
    assert examined(tmp_path / "b.nii", Stated(spacing_mm=(4.9, 4.6, 4.3))).usable is not None


def test_absurd_steps_sheared_axes_and_sizes(tmp_path: Path, examined: Judge) -> None:
    values = np.zeros((20, 20, 20), np.int16)

    def of(affine: object, array: np.ndarray = values) -> tuple[str, str]:
        nib.save(nib.Nifti1Image(array, np.array(affine, float)), tmp_path / "a.nii")
        return _outcome(examined(tmp_path / "a.nii"))

    assert of(np.diag([0.001, 1, 1, 1]))[0] == "absurd_spacing"
    assert of([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])[0] == "sheared_axes"
    assert of(np.eye(4), np.zeros((20, 8, 20), np.int16))[0] == "absurd_size"


@pytest.mark.parametrize(
    ("change", "code", "detail"),
    [
        (lambda hu: np.where(hu == hu.max(), np.nan, hu), "not_finite", "that are NaN or infinite"),
        (lambda hu: np.zeros_like(hu), "empty_volume", "0 in all voxels"),
        (lambda hu: np.clip((hu + 1000) / 1600, 0, 1), "scaled_values", "values from 0 to 0.88: scaled"),
        (lambda hu: (hu - hu.mean()) / hu.std(), "normalised_values", "as in standard deviations"),
        (lambda hu: np.clip((hu + 1000) / 6, 0, 255).round(), "scaled_values", "8 bits of some window"),
        (lambda hu: hu + 1000 - (hu + 1000).clip(max=0), "not_hu", "air below -700 HU"),
    ],
)
def test_values_that_are_no_hu(
    change: Callable[[np.ndarray], np.ndarray],
    code: str,
    detail: str,
    write_volume: Write,
    tmp_path: Path,
    examined: Judge,
) -> None:
    image = nib.load(write_volume("raw.nii"))
    values = change(np.asarray(image.dataobj).astype(np.float32)).astype(np.float32)
    nib.save(nib.Nifti1Image(values, image.affine), tmp_path / "a.nii.gz")
    found = _outcome(examined(tmp_path / "a.nii.gz"))
    assert found[0] == code
    assert detail in found[1]


def test_what_is_shifted_by_1024_is_shifted_back(write_volume: Write, examined: Judge) -> None:
    found = examined(write_volume("a.nrrd", edit=lambda image: sitk.Cast(image + 1024, sitk.sitkUInt16)))
    whole = examined(write_volume("b.nrrd"))
    assert found.usable is not None
    assert whole.usable is not None
    np.testing.assert_array_equal(found.usable.volume.hu, whole.usable.volume.hu)
    assert [one.code for one in found.verdict.findings] == ["accepted", "shifted_values", "thick_slices"]


def test_a_stated_formula_makes_hu(write_volume: Write, tmp_path: Path, examined: Judge) -> None:
    image = nib.load(write_volume("raw.nii"))
    hu = np.clip(np.asarray(image.dataobj), -1000, 600)
    nib.save(nib.Nifti1Image(((hu + 1000) / 1600).astype(np.float32), image.affine), tmp_path / "a.nii.gz")
    found = examined(tmp_path / "a.nii.gz", Stated(values=(1600.0, -1000.0)))
    assert found.usable is not None
    codes = {one.code: one.detail for one in found.verdict.findings}
    assert codes["stated_values"] == "value * 1600 -1000"
    assert "at -1000 HU, none below" in codes["clipped_at_air"]


def test_scl_slope_and_inter_are_used_once(write_volume: Write, tmp_path: Path, examined: Judge) -> None:
    path = write_volume("raw.nii")
    image = nib.load(path)
    shifted = nib.Nifti1Image((np.asarray(image.dataobj) + 1024).astype(np.int16), image.affine)
    shifted.header.set_slope_inter(1.0, -1024.0)
    raw = bytearray(shifted.to_bytes())
    raw[112:120] = np.array([1.0, -1024.0], "<f4").tobytes()
    (tmp_path / "b.nii").write_bytes(raw)
    assert np.asarray(nib.load(tmp_path / "b.nii").dataobj).min() == np.asarray(image.dataobj).min()
    first, second = examined(path), examined(tmp_path / "b.nii")
    assert first.usable is not None
    assert second.usable is not None
    np.testing.assert_array_equal(first.usable.volume.hu, second.usable.volume.hu)


def test_data_in_another_folder_are_not_followed(write_volume: Write, examined: Judge) -> None:
    path = write_volume("raw.nhdr")
    path.write_text(path.read_text().replace("raw.raw", "../raw.raw"))
    assert _outcome(examined(path))[0] == "undecodable_pixel_data"
    path = write_volume("raw.mhd")
    path.write_text(path.read_text().replace("raw.raw", "/etc/passwd"))
    assert _outcome(examined(path))[0] == "damaged_volume"


def test_encodings_and_layouts_that_are_not_read(write_volume: Write, tmp_path: Path, examined: Judge) -> None:
    path = write_volume("raw.nrrd")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"encoding: raw", b"encoding: bzip2"))
    assert "expected NRRD in raw or gzip encoding, found bzip2" in _outcome(examined(path))[1]
    path.write_bytes(whole.replace(b"encoding: raw", b"line skip: 2\nencoding: raw"))
    assert "expected voxels that follow the header, found skipped lines" in _outcome(examined(path))[1]
    np.savez(tmp_path / "two.npz", a=np.zeros((20, 20, 20)), b=np.zeros((20, 20, 20)))
    code, detail = _outcome(examined(tmp_path / "two.npz", Stated(spacing_mm=(1, 1, 1))))
    assert code == "not_3d"
    assert "expected one array in the file, found 2" in detail


def test_sizes_are_checked_before_memory_is_allocated(tmp_path: Path, examined: Judge) -> None:
    with (tmp_path / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<i2", "fortran_order": False, "shape": (9999, 9999, 9999)}
        )
    code, detail = _outcome(examined(tmp_path / "huge.npy", Stated(spacing_mm=(1, 1, 1))))
    assert code == "absurd_size"
    assert "found 9999 x 9999 x 9999" in detail
    np.save(tmp_path / "none.npy", np.zeros((0, 20, 20), np.int16))
    assert _outcome(examined(tmp_path / "none.npy", Stated(spacing_mm=(1, 1, 1))))[0] == "empty_volume"


def test_pickles_are_refused(tmp_path: Path, examined: Judge) -> None:
    np.save(tmp_path / "a.npy", np.full((20, 20, 20), None), allow_pickle=True)
    assert _outcome(examined(tmp_path / "a.npy", Stated(spacing_mm=(1, 1, 1))))[0] == "not_scalar"
