"""From images with masks or boxes to a store: labels, sizes, masks on its grid; and masks that don't fit."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy.io import savemat

from pectl.config import Config, PlacesConfig, PreprocessConfig
from pectl.core.intake.tasks import Sources
from pectl.core.intake.verdicts import read_verdict
from pectl.core.layouts.known import choose_layout, read_set
from pectl.core.places.source import PlacesSource
from pectl.core.places.truth import TruthFolder
from pectl.core.stores.study_store import StudyStore
from pectl.core.volumes.stated import Stated
from pectl.errors import InputMissingError, LineageError
from pectl.phantom.cohort import make_cohort
from pectl.steps.preprocess import preprocess
from pectl.steps.validate import validate
from tests.tiny import tiny_phantom

CONFIG = Config(preprocess=PreprocessConfig(in_plane_px=64, slice_spacing_mm=6.0))
N, SIZE, STEP, PIXEL = 36, 64, 6.0, 6.0
"""Of the chest: slices, rows and columns, and their steps in mm."""
HEART_LPS_MM = np.array([3.0, -27.0, -9.0])
"""The centre of a voxel in contrast."""


def voxel_at(point_mm: np.ndarray) -> tuple[int, int, int]:
    """Slice from the feet, row and column of a point in LPS mm."""
    x, y, z = point_mm
    return round(z / STEP + (N - 1) / 2), round(y / PIXEL + (SIZE - 1) / 2), round(x / PIXEL + (SIZE - 1) / 2)


def block(values: dict[int, tuple[int, int, int]] = {1: (0, 0, 0)}) -> np.ndarray:  # noqa: B006
    """A mask (slice, row, column) with a block of 2 x 2 x 2 for each number, moved by so many voxels from the heart."""
    mask = np.zeros((N, SIZE, SIZE), np.uint8)
    d, h, w = voxel_at(HEART_LPS_MM)
    for number, (dd, dh, dw) in values.items():
        mask[d + dd : d + dd + 2, h + dh : h + dh + 2, w + dw : w + dw + 2] = number
    return mask


@pytest.fixture
def chest(tmp_path, write_series):
    """Write the chest as study 1.1; returns its folder and UIDs from the feet."""

    def write(**more):
        folder = tmp_path / "dicom"
        uids = write_series(folder, study="1.1", n_slices=N, size=(SIZE, SIZE), pixel_spacing_mm=(PIXEL, PIXEL), **more)
        return folder, uids

    return write


def made(folder: Path, source: PlacesSource, out: Path, config: Config = CONFIG, labels: Path | None = None):
    summary = preprocess(Sources((folder,), labels=labels, places={"1.1": source}), out, config)
    codes = {one.code: one.detail for one in summary.verdicts[0].findings}
    return StudyStore.open(out), codes


def check_block(store: StudyStore, uids: list[str], *, boxes: bool = False):
    """One embolus of 2 x 2 x 2 voxels of 6 mm, where it was put: on slices 16 and 17 from the feet."""
    study, truth = store.read_study("1.1"), TruthFolder.open(store.path).read("1.1")
    d = voxel_at(HEART_LPS_MM)[0]
    labels = dict(zip(study.source.sop_instance_uid, study.source.label, strict=True))
    assert [uid for uid in uids if labels[uid] == 1] == uids[d : d + 2]
    assert {labels[uid] for uid in uids if uid not in uids[d : d + 2]} == {-1 if boxes else 0}
    assert (study.exam_labels["negative_exam_for_pe"], study.exam_labels["leftsided_pe"]) == (0, None)
    middle = study.affine[:3, :3] @ np.argwhere(truth.embolus).mean(axis=0) + study.affine[:3, 3]
    np.testing.assert_allclose(middle, HEART_LPS_MM + 3.0, atol=3.0)
    table = pd.read_csv(store.path / "emboli.csv", dtype={"StudyInstanceUID": str})
    row = ["1.1", 1, 8 * 216.0, 12.0, 2, 1, "box" if boxes else "mask"]
    assert table.to_numpy().tolist() == [row]
    assert store.stamp.made_from.keys() == {"labels", "places"}


def test_a_matlab_mask_that_follows_file_names_from_head_to_feet(chest, tmp_path):
    folder, uids = chest()
    by_uid = {str(pydicom.dcmread(path).SOPInstanceUID): path for path in folder.iterdir()}
    for place, uid in enumerate(uids):
        by_uid[uid].rename(folder / f"D{N - place:04d}.dcm")
    savemat(tmp_path / "PAT001.mat", {"Mask": np.moveaxis(block()[::-1], 0, 2)})
    store, codes = made(folder, PlacesSource("file-order", tmp_path / "PAT001.mat"), tmp_path / "store")
    assert codes.keys() == {"accepted", "thick_slices"}
    check_block(store, uids)


def test_a_label_in_the_order_of_images_that_count_down(chest, tmp_path):
    """The images' normal points to the feet, so the label's slice 0 is at the head, and its rows run to the front."""
    folder, uids = chest(orientation=(1.0, 0.0, 0.0, 0.0, -1.0, 0.0))
    mask = block()[::-1, ::-1]
    nib.save(nib.Nifti1Image(mask.transpose(2, 1, 0), np.diag([PIXEL, PIXEL, 6.01, 1])), tmp_path / "01GE.nii.gz")
    store, _ = made(folder, PlacesSource("slice-index", tmp_path / "01GE.nii.gz"), tmp_path / "store")
    check_block(store, uids)


def write_nrrd(path: Path, mask: np.ndarray) -> Path:
    image = sitk.GetImageFromArray(mask)
    image.SetSpacing((PIXEL, PIXEL, STEP))
    corner = -PIXEL * (SIZE - 1) / 2
    image.SetOrigin((corner, corner, -STEP * (N - 1) / 2))
    sitk.WriteImage(image, str(path))
    return path


def test_numbered_emboli_that_touch_and_one_outside_the_box(chest, tmp_path):
    folder, _ = chest()
    far = tuple(-at for at in voxel_at(HEART_LPS_MM))  # a corner of the images: air, and outside the lung box
    path = write_nrrd(tmp_path / "0001RefStd.nrrd", block({1: (0, 0, 0), 2: (2, 0, 0), 5: (2, 2, 2), 6: far}))
    store, codes = made(folder, PlacesSource("volume", path, numbered=True), tmp_path / "store")
    assert codes["places_outside_box"] == "1 of 4 emboli"
    table = pd.read_csv(store.path / "emboli.csv")
    assert table["embolus"].tolist() == [1, 2, 3, 4]
    assert table["in_box"].tolist() == [1, 1, 1, 0]
    assert table["volume_mm3"].tolist() == [8 * 216.0] * 4
    truth = TruthFolder.open(store.path / "places").read("1.1")
    assert np.unique(truth.number).tolist() == [0, 1, 2, 3]
    assert truth.volume_ml == pytest.approx(4 * 1.728)


def test_an_embolus_between_the_voxels_of_the_store_keeps_one(chest, tmp_path):
    folder, _ = chest()
    mask = np.zeros((N, SIZE, SIZE), np.uint8)
    mask[voxel_at(HEART_LPS_MM)] = 1
    config = Config(preprocess=PreprocessConfig(in_plane_px=32, slice_spacing_mm=15.0))
    path, kept = write_nrrd(tmp_path / "a.nrrd", mask), []
    for shift in range(3):
        source = PlacesSource("volume", write_nrrd(path, np.roll(mask, shift, axis=0)))
        store, _ = made(folder, source, tmp_path / f"store{shift}", config)
        truth = TruthFolder.open(store.path).read("1.1")
        kept.append(int(truth.embolus.sum()))
        voxel = np.argwhere(truth.embolus)[0]
        off_mm = truth.affine[:3, :3] @ voxel + truth.affine[:3, 3] - HEART_LPS_MM - [0, 0, shift * STEP]
        assert (np.abs(off_mm) <= [6, 6, 7.6]).all()
    assert kept == [1, 1, 1]


def test_two_boxes_on_one_slice(chest, tmp_path):
    folder, uids = chest()
    d, h, w = voxel_at(HEART_LPS_MM)
    rows = [f"1.1,{uid},{x},{h},1,2" for uid in uids[d : d + 2] for x in (w, w + 1)]
    rows.append(f"1.1,9.9,{w},{h},1,1")
    (tmp_path / "boxes.csv").write_text("\n".join(["StudyInstanceUID,SOPInstanceUID,x,y,width,height", *rows]))
    source = PlacesSource("boxes", tmp_path / "boxes.csv", complete=False)
    store, codes = made(folder, source, tmp_path / "store")
    assert codes["places_without_images"] == "1 boxes"
    check_block(store, uids, boxes=True)


def test_a_mask_without_emboli_is_a_negative_study(chest, tmp_path):
    folder, _ = chest()
    store, _ = made(folder, PlacesSource("volume", write_nrrd(tmp_path / "a.nrrd", block({}))), tmp_path / "store")
    study = store.read_study("1.1")
    assert (study.source.label == 0).all()
    assert (study.exam_labels["negative_exam_for_pe"], study.exam_labels["central_pe"]) == (1, 0)
    assert not TruthFolder.open(store.path).read("1.1").embolus.any()
    assert pd.read_csv(store.path / "emboli.csv").empty


def test_less_than_the_smallest_area_is_unknown(chest, tmp_path):
    """Two voxels on a slice are 72 mm2."""
    folder, _ = chest()
    mask = block()
    mask[:, voxel_at(HEART_LPS_MM)[1]] = 0
    source = PlacesSource("volume", write_nrrd(tmp_path / "a.nrrd", mask))
    store, _ = made(
        folder, source, tmp_path / "exact", CONFIG.model_copy(update={"places": PlacesConfig(min_area_mm2=72)})
    )
    assert (store.read_study("1.1").source.label == 1).sum() == 2
    other = CONFIG.model_copy(update={"places": PlacesConfig(min_area_mm2=72.1)})
    store, codes = made(folder, source, tmp_path / "faint", other)
    assert codes["places_faint"] == "1 emboli, less than 72.1 mm2 a slice"
    study = store.read_study("1.1")
    assert ((study.source.label == -1).sum(), set(study.exam_labels.values())) == (2, {None})
    with pytest.raises(LineageError, match="expected masks or boxes, and their smallest area, with digest"):
        made(folder, source, tmp_path / "exact", other)
    with pytest.raises(LineageError, match="with digest none, found"):
        preprocess(Sources((folder,)), tmp_path / "exact", CONFIG)


@pytest.mark.parametrize(
    ("mask", "code", "detail"),
    [
        (block()[1:], "places_mismatch", "found 35 x 64 x 64"),
        (np.roll(block(), (0, 10), (0, 2)), "places_in_air", "100% of what is marked below -500 HU"),
    ],
)
def test_images_are_kept_without_labels_where_masks_do_not_fit(chest, tmp_path, mask, code, detail):
    folder, _ = chest()
    store, codes = made(folder, PlacesSource("volume", write_nrrd(tmp_path / "a.nrrd", mask)), tmp_path / "store")
    assert detail in codes[code]
    study = store.read_study("1.1")
    assert (study.source.label == -1).all()
    assert set(study.exam_labels.values()) == {None}
    assert code in study.flags
    assert not (store.path / "places").exists()
    found = validate(
        Sources((folder,), places={"1.1": PlacesSource("volume", tmp_path / "a.nrrd")}), tmp_path / "verdicts", CONFIG
    )
    assert found.verdicts[0].findings == read_verdict(store.path / "verdicts" / "1.1.json", made_by="").findings


def test_a_labels_table_is_followed_where_it_knows(chest, tmp_path):
    folder, uids = chest()
    d = voxel_at(HEART_LPS_MM)[0]
    labels = {"negative_exam_for_pe": 0, "indeterminate": 0, "rv_lv_ratio_lt_1": 1, "rv_lv_ratio_gte_1": 0}
    labels |= {"leftsided_pe": 1, "rightsided_pe": 0, "central_pe": 0, "chronic_pe": 0, "acute_and_chronic_pe": 0}
    labels |= dict.fromkeys(("qa_motion", "qa_contrast", "flow_artifact", "true_filling_defect_not_pe"), 0)
    rows = [
        {"StudyInstanceUID": "1.1", "SOPInstanceUID": uid, "pe_present_on_image": int(place == d)} | labels
        for place, uid in enumerate(uids[:-1])
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "train.csv", index=False)
    source = PlacesSource("volume", write_nrrd(tmp_path / "a.nrrd", block()))
    store, codes = made(folder, source, tmp_path / "store", labels=tmp_path / "train.csv")
    assert codes["places_contradict"] == "1 labels of images and the study"
    study = store.read_study("1.1")
    assert np.flatnonzero(study.source.label == 1).tolist() == [d]
    assert study.source.label[-1] == 0  # from the mask
    assert study.exam_labels["leftsided_pe"] == 1


def test_masks_of_studies_that_are_not_among_the_files(chest, tmp_path):
    folder, _ = chest()
    source = PlacesSource("volume", write_nrrd(tmp_path / "a.nrrd", block()))
    summary = preprocess(Sources((folder,), places={"PAT001": source}), tmp_path / "store", CONFIG)
    assert [(one.code, one.detail) for one in summary.remarks] == [
        ("places_without_images", "1 of 1 studies with masks or boxes aren't among the files: PAT001")
    ]
    assert pd.read_csv(tmp_path / "store" / "emboli.csv").empty


def test_a_mask_that_is_not_there(chest, tmp_path):
    folder, _ = chest()
    with pytest.raises(InputMissingError, match=r"a\.mat: expected a file of masks or boxes"):
        made(folder, PlacesSource("file-order", tmp_path / "a.mat"), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_phantoms_bring_their_masks_and_keep_the_labels_of_their_table(tmp_path):
    tiny_cohort = tmp_path / "cohort"
    make_cohort(tiny_cohort, tiny_phantom(studies=3), seed=0)
    layout, _ = choose_layout("auto", tiny_cohort)
    assert layout.name == "phantom"
    preprocess(Sources.of_set(read_set(layout, tiny_cohort), Stated()), tmp_path / "masked", CONFIG)
    preprocess(Sources((tiny_cohort / "train",), labels=tiny_cohort / "train.csv"), tmp_path / "plain", CONFIG)
    masked, plain = (StudyStore.open(tmp_path / name) for name in ("masked", "plain"))
    truths, n_marked = TruthFolder.open(tiny_cohort), 0
    for uid in masked.uids():
        study, other = masked.read_study(uid), plain.read_study(uid)
        np.testing.assert_array_equal(study.slice_label, other.slice_label)
        assert study.exam_labels == other.exam_labels
        assert study.flags == other.flags
        kept, truth = TruthFolder.open(masked.path).read(uid), truths.read(uid)
        kept_ml, true_ml = kept.embolus.sum() * np.prod(kept.spacing_mm) / 1000, truth.volume_ml
        if true_ml == 0:
            assert not kept.embolus.any()
            continue
        n_marked += 1
        assert kept.volume_ml == pytest.approx(true_ml, rel=1e-3)  # as measured on the images, whose spacing is rounded
        assert kept_ml == pytest.approx(true_ml, rel=0.3)  # on a coarse grid
        middles = [
            one.affine[:3, :3] @ np.argwhere(one.embolus).mean(axis=0) + one.affine[:3, 3] for one in (kept, truth)
        ]
        np.testing.assert_allclose(*middles, atol=6.0)
    assert n_marked > 0
