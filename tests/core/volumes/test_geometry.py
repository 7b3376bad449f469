"""The same chest gives the same study whatever its file: SimpleITK and nibabel write what is read here."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from pectl.core.dicom.headers import find_files, read_header
from pectl.core.intake.examine import Examined, examine, make_study
from pectl.core.intake.study_labels import StudyLabels
from pectl.core.stores.study_store import Study
from pectl.core.volumes.stated import Stated
from tests.core.volumes.conftest import CONFIG, Write

Judge = Callable[..., Examined]


def _stored(found: Examined) -> Study:
    assert found.usable is not None, found.verdict.findings
    return make_study(found.usable, found.verdict, CONFIG, StudyLabels())


@pytest.fixture(scope="module")
def reference(chest_dicom: Path) -> tuple[Examined, Study]:
    headers = [header for path in find_files(chest_dicom) if (header := read_header(path)) is not None]
    found = examine("1.2.3", headers, CONFIG, labels=StudyLabels())
    return found, _stored(found)


def _check_same(found: Examined, reference: tuple[Examined, Study]) -> None:
    expected, study = reference
    mine = _stored(found)
    assert found.usable is not None
    assert expected.usable is not None
    assert found.usable.box == expected.usable.box
    np.testing.assert_array_equal(mine.hu, study.hu)
    np.testing.assert_allclose(mine.affine, study.affine, atol=1e-4)
    np.testing.assert_allclose(mine.slice_position_mm, study.slice_position_mm, atol=1e-4)
    np.testing.assert_allclose(mine.spacing_mm, study.spacing_mm, atol=1e-6)


@pytest.mark.parametrize("axes", ["RAS", "LAI", "PSR", "IRP"])
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "raw.mha"])
def test_flips_and_permutations_give_the_study_of_the_dicom_series(
    name: str, axes: str, write_volume: Write, examined: Judge, reference: tuple[Examined, Study]
) -> None:
    found = examined(write_volume(name, axes=axes))
    _check_same(found, reference)
    assert [one.code for one in found.verdict.findings] == ["accepted", "thick_slices"]


@pytest.mark.parametrize("name", ["raw.nii", "raw.nrrd", "raw.nhdr", "a.mha", "raw.mhd"])
def test_every_other_suffix(name: str, write_volume: Write, examined: Judge, reference: tuple[Examined, Study]) -> None:
    _check_same(examined(write_volume(name, axes="RAS")), reference)


def test_arrays_with_a_stated_spacing(
    chest_image: sitk.Image, tmp_path: Path, examined: Judge, reference: tuple[Examined, Study]
) -> None:
    values = sitk.GetArrayFromImage(chest_image)
    np.save(tmp_path / "a.npy", values)
    np.savez_compressed(tmp_path / "b.npz", data=values)
    for name in ("a.npy", "b.npz"):
        found = examined(tmp_path / name, Stated(spacing_mm=(4.9, 4.6, 4.3)))
        np.testing.assert_array_equal(_stored(found).hu, reference[1].hu)
        codes = {one.code: one.detail for one in found.verdict.findings}
        assert codes["stated_spacing"] == "4.9 x 4.6 x 4.3 mm"
        assert codes["assumed_orientation"] == "slices from feet to head, rows to the back, columns to the left"


def test_what_nibabel_reorders_keeps_its_place(
    write_volume: Write, tmp_path: Path, examined: Judge, reference: tuple[Examined, Study]
) -> None:
    image = nib.load(write_volume("raw.nii"))
    now = nib.io_orientation(image.affine)
    flipped = image.as_reoriented(nib.orientations.ornt_transform(now, nib.orientations.axcodes2ornt("SLP")))
    nib.save(nib.Nifti2Image(np.asarray(flipped.dataobj).astype(">f4"), flipped.affine), tmp_path / "two.nii")
    _check_same(examined(tmp_path / "two.nii"), reference)


def test_qform_alone_places_a_volume(
    write_volume: Write, examined: Judge, reference: tuple[Examined, Study], tmp_path: Path
) -> None:
    image = nib.load(write_volume("raw.nii", axes="LAS"))
    image.header.set_sform(None, code=0)
    image.header.set_qform(image.affine, code=1)
    nib.save(image, tmp_path / "qform.nii.gz")
    _check_same(examined(tmp_path / "qform.nii.gz"), reference)


def test_ras_space_and_axes_without_a_space_of_nrrd(
    write_volume: Write, examined: Judge, reference: tuple[Examined, Study]
) -> None:
    path = write_volume("raw.nrrd")
    head, _, voxels = path.read_bytes().partition(b"\n\n")
    lines = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    x, y, z = lines["space origin"].strip("()").split(",")
    ras = head.replace(b"left-posterior-superior", b"right-anterior-superior")
    ras = ras.replace(lines["space origin"].encode(), f"({-float(x)},{-float(y)},{z})".encode())
    directions = np.array(
        [[float(v) for v in part.strip("()").split(",")] for part in lines["space directions"].split()]
    )
    text = " ".join("({},{},{})".format(*vector) for vector in directions * (-1, -1, 1))
    path.write_bytes(ras.replace(lines["space directions"].encode(), text.encode()) + b"\n\n" + voxels)
    _check_same(examined(path), reference)


def test_oblique_axes_are_kept_and_said(chest_image: sitk.Image, tmp_path: Path, examined: Judge) -> None:
    turned = sitk.Euler3DTransform()
    turned.SetRotation(np.radians(8.0), 0.0, 0.0)
    matrix = np.reshape(turned.GetMatrix(), (3, 3)) @ np.reshape(chest_image.GetDirection(), (3, 3))
    image = sitk.Image(chest_image)
    image.SetDirection(matrix.ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    found = examined(tmp_path / "a.nii.gz")
    assert {one.code: one.detail for one in found.verdict.findings}["oblique"] == "8.0 degrees"
    at = _stored(found).affine @ [0, 0, 0, 1]
    index = image.TransformPhysicalPointToContinuousIndex(at[:3].tolist())
    box = found.usable.box  # type: ignore[union-attr]
    assert index[2] == pytest.approx(box.d[0], abs=1e-3)


def test_slices_are_numbered_along_the_files_own_axis(write_volume: Write, examined: Judge) -> None:
    study = _stored(examined(write_volume("scan_7.nii.gz", axes="LPI")))
    names = list(study.source.sop_instance_uid)
    assert names[0] == "scan.7#50"
    assert names[-1] == "scan.7#1"
    assert study.uid == study.series_uid == "scan.7"
