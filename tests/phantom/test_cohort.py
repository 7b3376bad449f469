import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pydicom
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from pectl.config import PhantomConfig
from pectl.errors import OutputExistsError, StoreError
from pectl.phantom import cohort
from pectl.phantom.cohort import exam_types, make_cohort
from pectl.phantom.emboli import image_area_mm2
from pectl.phantom.labels import CSV_COLUMNS
from pectl.phantom.truth import read_geometry


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_layout_is_that_of_rspect(tiny_cohort, tiny_config):
    table = pd.read_csv(tiny_cohort / "train.csv", dtype=str)
    assert tuple(table.columns) == CSV_COLUMNS
    assert len(table) == tiny_config.studies * tiny_config.slices
    paths = {f"{row.StudyInstanceUID}/{row.SeriesInstanceUID}/{row.SOPInstanceUID}.dcm" for row in table.itertuples()}
    found = {path.relative_to(tiny_cohort / "train").as_posix() for path in tiny_cohort.rglob("*.dcm")}
    assert paths == found
    assert table["StudyInstanceUID"].str.fullmatch("[0-9a-f]{12}").all()
    assert table["SOPInstanceUID"].is_unique
    assert {path.stem for path in (tiny_cohort / "truth").iterdir()} == set(table["StudyInstanceUID"])
    assert sorted(path.name for path in tiny_cohort.iterdir()) == ["train", "train.csv", "truth"]


def test_rows_are_in_no_order(tiny_cohort):
    table = pd.read_csv(tiny_cohort / "train.csv")
    assert (table["StudyInstanceUID"] != table["StudyInstanceUID"].shift()).sum() > 60
    uid = table["StudyInstanceUID"].iloc[0]
    with np.load(tiny_cohort / "truth" / f"{uid}.npz") as data:
        order = data["sop_instance_uid"].tolist()
    ranks = [order.index(sop) for sop in table.loc[table["StudyInstanceUID"] == uid, "SOPInstanceUID"]]
    assert abs(np.corrcoef(ranks, range(len(ranks)))[0, 1]) < 0.6


def test_image_labels_are_what_the_masks_say(tiny_cohort, tiny_config):
    table = pd.read_csv(tiny_cohort / "train.csv").set_index("SOPInstanceUID")
    for path in (tiny_cohort / "truth").iterdir():
        with np.load(path) as data:
            areas = image_area_mm2(data["embolus"], tuple(data["spacing_mm"]))
            present = table.loc[data["sop_instance_uid"], "pe_present_on_image"].to_numpy()
            assert not (data["embolus"] & ~data["artery"]).any()
        np.testing.assert_array_equal(present, areas >= tiny_config.present_area_mm2)


def test_exam_labels_are_those_of_the_truth_and_alike_in_all_rows(tiny_cohort):
    table = pd.read_csv(tiny_cohort / "train.csv")
    exam = list(CSV_COLUMNS[4:])
    assert (table.groupby("StudyInstanceUID")[exam].nunique() == 1).all(axis=None)
    for uid, row in table.groupby("StudyInstanceUID")[exam].first().iterrows():
        assert row.to_dict() == read_geometry(tiny_cohort / "truth" / f"{uid}.npz")["labels"]


def test_same_bytes_whatever_the_number_of_workers(tiny_cohort, tiny_config, tmp_path):
    make_cohort(tmp_path / "two", tiny_config, seed=3, workers=2)
    assert contents(tmp_path / "two") == contents(tiny_cohort)


def test_a_study_is_made_on_one_thread(tiny_config, tmp_path, monkeypatch):
    """With two, some sums differ in their last bit, and one pixel of a few million by 1 HU."""
    threads, draw = set(), cohort.draw_scanner

    def watched(*given, **named):
        threads.update(pool["num_threads"] for pool in threadpool_info())
        return draw(*given, **named)

    monkeypatch.setattr(cohort, "draw_scanner", watched)
    with threadpool_limits(2):
        make_cohort(tmp_path, tiny_config.model_copy(update={"studies": 1}), seed=0)
    assert threads == {1}


def test_a_killed_run_makes_only_what_is_missing(tiny_cohort, tiny_config, tmp_path):
    out = tmp_path / "cohort"
    shutil.copytree(tiny_cohort, out)
    lost = min((out / "truth").iterdir()).stem
    (out / "truth" / f"{lost}.npz").unlink()
    (out / "train.csv").unlink()
    next((out / "train" / lost).rglob("*.dcm")).write_bytes(b"half a file")
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.dcm") if lost not in path.parts}
    calls = []
    make_cohort(out, tiny_config, seed=3, progress=lambda done, total: calls.append((done, total)))
    assert contents(out) == contents(tiny_cohort)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert calls == [(done, 5) for done in range(6)]


def test_a_cohort_of_another_configuration_is_refused(tiny_cohort, tiny_config):
    other = tiny_config.model_copy(update={"noise_hu": (5.0, 6.0)})
    with pytest.raises(OutputExistsError, match="expected an empty folder, or a cohort of this configuration"):
        make_cohort(tiny_cohort, other, seed=3)
    with pytest.raises(OutputExistsError, match="choose another folder"):
        make_cohort(tiny_cohort, tiny_config, seed=4)


def test_a_folder_that_cannot_be_written_is_named(tiny_config, tmp_path):
    (tmp_path / "train").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match=r"train/[0-9a-f]{12}: expected to write a DICOM series, found Not a dir"):
        make_cohort(tmp_path, tiny_config, seed=3)
    assert not (tmp_path / "train.csv").exists()


@pytest.mark.parametrize("seed", range(5))
def test_prevalence_is_as_configured(seed):
    config = PhantomConfig(studies=200, prevalence=0.3, indeterminate_fraction=0.05)
    counts = Counter(exam_types(config, seed))
    assert counts["positive"] == pytest.approx(60, abs=2)
    assert counts["indeterminate"] == pytest.approx(10, abs=2)
    smaller = config.model_copy(update={"studies": 20})
    assert exam_types(smaller, seed) == exam_types(config, seed)[:20]


def test_pixels_show_the_geometry(tiny_cohort):
    """Blood in the arteries has the contrast drawn for the study, emboli are much darker."""
    for path in (tiny_cohort / "truth").iterdir():
        geometry = read_geometry(path)
        if geometry["labels"]["qa_motion"]:
            continue
        with np.load(path) as data:
            masks = {name: data[name] for name in ("artery", "embolus")}
            volume = canonical(tiny_cohort / "train" / path.stem / geometry["series_uid"], data)
        blood = volume[inner(masks["artery"]) & ~outer(masks["embolus"])]
        assert np.median(blood) == pytest.approx(geometry["artery_hu"], abs=15.0)
        if inner(masks["embolus"]).sum() > 5:
            assert np.median(volume[inner(masks["embolus"])]) < geometry["artery_hu"] - 80.0


def canonical(folder, truth):
    """Place each file's pixels by its own header into the truth's grid."""
    volume = np.zeros(truth["artery"].shape, dtype=np.float64)
    to_index = np.linalg.inv(truth["affine"])
    for sop in truth["sop_instance_uid"]:
        dataset = pydicom.dcmread(folder / f"{sop}.dcm")
        hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        row_axis, column_axis = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
        first = np.array(dataset.ImagePositionPatient, dtype=float)
        last = first + row_axis * dataset.PixelSpacing[1] * (dataset.Columns - 1)
        last = last + column_axis * dataset.PixelSpacing[0] * (dataset.Rows - 1)
        corners = np.rint(to_index @ np.stack([[*first, 1.0], [*last, 1.0]]).T).astype(int)
        (d, _), (h0, h1), (w0, w1) = corners[:3]
        volume[d] = hu[:: 1 if h1 > h0 else -1, :: 1 if w1 > w0 else -1]
    return volume


def inner(mask):
    shifted = [np.roll(mask, step, axis) for axis in (0, 1, 2) for step in (-1, 1)]
    return mask & np.logical_and.reduce(shifted)


def outer(mask):
    return ~inner(~mask)
