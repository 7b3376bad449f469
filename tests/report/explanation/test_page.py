import base64
import gzip
import json
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from PIL import Image

from pectl.core.decisions.calibration import Calibrator
from pectl.core.decisions.decisions import EXAM_NAMES, Decisions
from pectl.core.decisions.heat_scale import HeatReference
from pectl.core.decisions.thresholds import Threshold
from pectl.core.labels.names import EXAM_LABELS
from pectl.core.stores.study_store import Study
from pectl.explanation.explainer import Explanation, find_peak
from pectl.explanation.heat_geometry import left_share, source_heat
from pectl.explanation.painting import ct_grey, paint
from pectl.explanation.score import score_labels
from pectl.explanation.summary import BASELINES
from pectl.report.explanation.animation import write_animation
from pectl.report.explanation.case import Case
from pectl.report.explanation.figures import hot_slices, slice_caption
from pectl.report.explanation.nifti import write_nifti
from pectl.report.explanation.overview import slice_attention
from pectl.report.explanation.page import read_explanation, summary_row, write_explanation
from pectl.report.explanation.summary_page import BASELINE_TITLES
from pectl.report.explanation.viewer import packed_slice, slice_score

StudyFactory = Callable[..., Study]
HOT = (5, 3, 20)
LABELS = ("pe_present", "pe_window", "negative_exam_for_pe", "leftsided_pe")
FITTED = Decisions(
    split="val",
    studies=("x", "y"),
    calibrators={name: Calibrator("temperature", temperature=2.0) for name in EXAM_NAMES},
    thresholds=Decisions().thresholds | {"pe_present": Threshold(0.7)},
)


def explanation_of(
    study: Study, *, label: str = "pe_present", hot: bool = True, reference: HeatReference | None = None
) -> Explanation:
    """Raw heat of 4 and 1, as a share of its own peak or of the reference."""
    heat, full_scale = np.zeros(study.hu.shape, np.float32), 4.0 if reference is None else reference.value
    if hot:
        heat[HOT], heat[9, 2, 2] = 4.0 / full_scale, 1.0 / full_scale
    slice_heat = heat.max(axis=(1, 2))
    names = (
        "negative_exam_for_pe",
        "indeterminate",
        "chronic_pe",
        "acute_and_chronic_pe",
        "central_pe",
        "leftsided_pe",
        "rightsided_pe",
        "rv_lv_ratio_gte_1",
        "rv_lv_ratio_lt_1",
        "pe_present",
    )
    return Explanation(
        uid=study.uid,
        label=label,
        method="grad-cam",
        heat=heat,
        slice_heat=slice_heat,
        source_heat=source_heat(study, slice_heat),
        length=10,
        window_start=np.array([0, 5, 6]),
        window_logit=np.array([0.0, 1.0, -1.0], np.float32),
        refined_logit=np.array([0.0, 3.0, -3.0], np.float32),
        attention=np.tile(np.array([0.2, 0.7, 0.1], np.float32), (9, 1)),
        exam_score={name: k / 10 for k, name in enumerate(names)},
        peak=find_peak(study, heat),
        left_share=left_share(study, heat),
        seconds=1.25,
        full_scale=full_scale,
        reference=reference,
    )


def case_of(study: Study, explanation: Explanation, **changes: object) -> Case:
    plain = Case(
        study=study,
        explanation=explanation,
        measures=score_labels(study, explanation),
        measured_against={"labels": "b" * 64},
        decisions=FITTED,
        lineage={"study_store": "a" * 64},
        seen_as="test",
    )
    return replace(plain, **changes)


@pytest.fixture
def written(make_study: StudyFactory, tmp_path: Path) -> Path:
    study = make_study()
    content = write_explanation(tmp_path / study.uid, case_of(study, explanation_of(study)))
    assert read_explanation(tmp_path / study.uid) == json.loads(json.dumps(content))
    assert read_explanation(tmp_path / "another") is None
    assert summary_row(tmp_path / study.uid, content) == {
        "image": "0123456789ab/preview.jpg",
        "link": "0123456789ab/index.html",
        "caption": "P(PE) 0.75; peak in a slice with PE",
        "positive": True,
        "pe_probability": pytest.approx(0.75),
        "measures": content["measures"],
    }
    return tmp_path / study.uid


def test_everything_is_there_and_nothing_half_written(written: Path) -> None:
    names = {
        "explain.json",
        "heat.h5",
        "heat.nii.gz",
        "index.html",
        "overview.png",
        "preview.jpg",
        "slice_1.png",
        "slice_2.png",
        "slices.gif",
    }
    assert {path.name for path in written.iterdir()} == names
    for name in ("overview.png", "slice_1.png"):
        picture = cv2.imread(str(written / name))
        assert picture.shape[1] > 1000
        assert picture.std() > 20


def test_json_names_slices_peak_and_lineage(written: Path) -> None:
    content = json.loads((written / "explain.json").read_text())
    assert content["format"] == "pectl-explanation"
    assert content["use"] == "research use only, not for diagnosis"
    assert content["lineage"] == {"study_store": "a" * 64}
    assert content["peak"]["sop_instance_uid"] == "0123456789ab.5"
    assert content["slices"][5] == {
        "SOPInstanceUID": "0123456789ab.5",
        "position_mm": -185.0,
        "grid_index": 5,
        "heat": 1.0,
        "pe_present_on_image": 1,
    }
    assert content["windows"][1] == {
        "first_slice": 5,
        "slices": 10,
        "stage1_logit": 1.0,
        "refined_logit": 3.0,
    }
    assert content["attention"]["central_pe"] == pytest.approx([0.2, 0.7, 0.1])
    assert content["measures"]["peak_in_pe_slice"]["heat"] == 1.0
    assert content["left_share"] == 0.8
    assert content["seen_in_training_as"] == "test"


def test_probabilities_are_calibrated_and_called_by_the_models_own_decisions(written: Path) -> None:
    content = json.loads((written / "explain.json").read_text())
    assert content["decisions"] == {"fitted_on": "val", "n_studies": 2}
    found = content["exam"]["pe_present"]  # score 0.9 of the factory; logit / 2 gives 3 : 1
    assert found["score"] == 0.9
    assert found == {"score": 0.9, "probability": pytest.approx(0.75), "threshold": 0.7, "known": 1, "called": True}
    assert content["exam"]["leftsided_pe"]["probability"] == pytest.approx(0.5)
    assert set(content["exam"]) == {"pe_present", *EXAM_LABELS}


def test_heat_volume_carries_affine_and_origin(written: Path, make_study: StudyFactory) -> None:
    with h5py.File(written / "heat.h5") as file:
        assert file["heat"].shape == (16, 24, 24)
        assert file["heat"][HOT] == 1.0
        assert file.attrs["full_scale"] == 4.0
        assert file.attrs["use"] == "research use only, not for diagnosis"
        assert file.attrs["made_from_study_store"] == "a" * 64
        np.testing.assert_array_equal(file.attrs["affine"], make_study().affine)


def test_page_is_offline_and_says_what_it_is_for(written: Path) -> None:
    page = (written / "index.html").read_text()
    assert "Research use only, not for diagnosis" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "http" not in re.sub(r"data:[^\"]*", "", page).replace("http-equiv", "")
    assert "0123456789ab.5" in page
    slices = re.search(r"const SLICES = (\[.*?\]);", page).group(1)
    assert len(json.loads(slices)) == 16


@pytest.mark.parametrize("label", LABELS)
def test_labels_that_ask_for_pe_or_not(label: str, make_study: StudyFactory, tmp_path: Path) -> None:
    study = make_study()
    write_explanation(tmp_path / "x", case_of(study, explanation_of(study, label=label)))
    assert (tmp_path / "x" / "index.html").stat().st_size > 10_000


def test_unlabelled_study_without_heat(make_study: StudyFactory, tmp_path: Path) -> None:
    study = make_study(positive=None)
    study.source.label[:] = -1
    study.slice_label[:] = -1
    study.exam_labels.update(dict.fromkeys(study.exam_labels))
    explanation = explanation_of(study, hot=False)
    content = write_explanation(tmp_path / "x", case_of(study, explanation, seen_as=None))
    assert content["headline"] == "P(PE) 0.75; nothing in the scan spoke for PE present"
    assert summary_row(tmp_path / "x", content)["positive"] is False
    assert content["peak"] is None
    assert content["measures"] == {}
    assert content["exam"]["central_pe"]["known"] is None
    assert content["slices"][0]["pe_present_on_image"] is None


def test_page_says_that_the_model_was_made_with_the_study(make_study: StudyFactory, tmp_path: Path) -> None:
    study = make_study()
    for split, told in (("train", True), ("val", True), ("test", False), (None, False)):
        write_explanation(tmp_path / "x", case_of(study, explanation_of(study), seen_as=split))
        assert ("The model was made with this study" in (tmp_path / "x" / "index.html").read_text()) is told


def test_nothing_fitted_is_said(make_study: StudyFactory, tmp_path: Path) -> None:
    study = make_study()
    write_explanation(tmp_path / "x", case_of(study, explanation_of(study), decisions=Decisions()))
    assert "probabilities are scores, thresholds 0.5" in (tmp_path / "x" / "index.html").read_text()


def test_animation_runs_from_feet_to_head_and_holds_the_peak(make_study: StudyFactory, tmp_path: Path) -> None:
    study = make_study(shape=(200, 24, 24), positive=slice(4, 7))
    write_animation(tmp_path / "x.gif", explanation_of(study), study)
    with Image.open(tmp_path / "x.gif") as movie:
        assert movie.n_frames in (80, 81)
        assert movie.info["loop"] == 0
        frames = []
        for k in range(movie.n_frames):
            movie.seek(k)
            frames.append(np.asarray(movie.convert("RGB"))[:320].astype(int))
    redness = [(frame[..., 0] - frame[..., 2]).max() for frame in frames]
    hottest = int(np.argmax(redness))
    assert hottest == 2  # slice 5 of 200: every 2.5th is shown
    rows, columns = np.unravel_index((frames[hottest][..., 0] - frames[hottest][..., 2]).argmax(), (320, 320))
    assert (rows / (320 / 24), columns / (320 / 24)) == pytest.approx((HOT[1] + 0.5, HOT[2] + 0.5), abs=1.0)


def test_animation_shows_a_small_peak_in_broad_heat_in_its_own_colour(make_study: StudyFactory, tmp_path: Path) -> None:
    study = make_study(shape=(40, 64, 64))
    z, y, x = np.indices(study.hu.shape)
    study = replace(study, hu=(10 * x + 5 * y - 400).astype(np.int16))
    broad = np.exp(-((y - 32) ** 2 + (x - 32) ** 2) / 400) * (0.3 + 0.3 * z / 40)
    peak = 0.6 * np.exp(-((y - 32) ** 2 + (x - 32) ** 2 + (z - 20) ** 2) / 20)
    heat = (broad + peak).astype(np.float32)
    write_animation(tmp_path / "x.gif", replace(explanation_of(study), heat=heat, peak=find_peak(study, heat)), study)
    shown = np.stack([ct_grey(plane) for plane in study.hu])
    with Image.open(tmp_path / "x.gif") as movie:
        for k in range(movie.n_frames):
            movie.seek(k)
            drawn = paint(shown[k], heat[k] / heat.max())[32, 32] * 255
            found = np.asarray(movie.convert("RGB"))[162, 162]  # within the same voxel of 5 x 5 pixels
            assert found == pytest.approx(drawn, abs=12), k


def test_hot_slices_and_caption(make_study: StudyFactory) -> None:
    study = make_study()
    assert hot_slices(explanation_of(study), study) == [5, 9]
    assert hot_slices(explanation_of(study, hot=False), study) == [8]
    assert slice_caption(explanation_of(study), study, 9) == (
        "Slice 10 of 16, at -173.0 mm; heat 25% of the study's peak; labelled without PE. SOPInstanceUID 0123456789ab.9"
    )


def test_attention_and_scores_of_slices_come_from_their_windows(make_study: StudyFactory) -> None:
    explanation = explanation_of(make_study())
    attention = slice_attention(explanation, 16)
    assert attention[0, [0, 5, 7, 15]] == pytest.approx([0.2, 0.45, 1 / 3, 0.1])
    assert slice_score(explanation, 16)[[0, 7, 15]] == pytest.approx([0.5, 0.95257, 0.04743], abs=1e-5)


def test_viewer_slices_hold_hu_and_heat(make_study: StudyFactory) -> None:
    hu = np.array([[-2000, -1024, -1023], [0, 101, 3000]], np.int16)
    packed = packed_slice(hu, np.array([[0, 0.5, 1], [0, 0, 0]], np.float32))
    data = np.frombuffer(base64.b64decode(packed), np.uint8)
    heat, low, high = np.moveaxis(cv2.imdecode(data, cv2.IMREAD_COLOR).astype(int), -1, 0)
    assert (-1024 + 2 * (4 * high + low)).tolist() == [[-1024, -1024, -1024], [0, 100, 1022]]
    assert heat.tolist() == [[0, 128, 255], [0, 0, 0]]


def test_nifti_places_each_voxel_in_ras(make_study: StudyFactory, tmp_path: Path) -> None:
    study = make_study(spacing_mm=(3.0, 4.0, 5.0))
    volume = np.zeros(study.hu.shape, np.float32)
    volume[HOT] = 7.0
    write_nifti(tmp_path / "x.nii.gz", volume, study.affine, "note")
    data = gzip.decompress((tmp_path / "x.nii.gz").read_bytes())
    assert struct.unpack_from("<i", data, 0) == (348,)
    shape = struct.unpack_from("<8h", data, 40)
    assert shape == (3, 24, 24, 16, 1, 1, 1, 1)
    assert struct.unpack_from("<4f", data, 76) == (1.0, 5.0, 4.0, 3.0)
    voxels = np.frombuffer(data, "<f4", offset=352).reshape(shape[1:4], order="F")
    w, h, d = HOT[::-1]
    assert voxels[w, h, d] == 7.0
    sform = np.array(struct.unpack_from("<12f", data, 280)).reshape(3, 4)
    x, y, z = (study.affine @ [*HOT, 1])[:3]
    assert sform @ [w, h, d, 1] == pytest.approx([-x, -y, z])


def test_a_page_of_300_noisy_slices_stays_below_40_mb() -> None:
    """Noise is what costs: 30 HU everywhere, at the store's own 224 px."""
    rng = np.random.default_rng(0)
    hu = rng.normal(0, 30, (4, 224, 224)).astype(np.int16)
    heat = rng.random((4, 7, 7)).astype(np.float32).repeat(32, 1).repeat(32, 2)
    mean = np.mean([len(packed_slice(*pair)) for pair in zip(hu, heat, strict=True)])
    assert 300 * mean < 35e6


def test_every_baseline_of_heat_has_a_title() -> None:
    assert tuple(BASELINE_TITLES) == BASELINES


def packed_heat(page: str) -> list[int]:
    """Return the largest heat, 0 to 255, that the viewer draws in each slice."""
    slices = json.loads(re.search(r"const SLICES = (\[.*?\]);", page).group(1))
    pictures = [cv2.imdecode(np.frombuffer(base64.b64decode(one), np.uint8), cv2.IMREAD_COLOR) for one in slices]
    return [int(picture[..., 0].max()) for picture in pictures]


@pytest.mark.parametrize(
    ("value", "drawn", "share", "told"),
    [
        (16.0, [64, 16], [0.25, 0.0625], "The peak of this one: 25 %."),  # a cleared study: a quarter as hot
        (2.0, [255, 128], [2.0, 0.5], "The peak of this one: 200 %."),  # a flagged one, hotter than most
    ],
)
def test_heat_is_drawn_beside_that_of_flagged_validation_studies(
    make_study: StudyFactory, tmp_path: Path, value: float, drawn: list[int], share: list[float], told: str
) -> None:
    study, reference = make_study(), HeatReference(value, n_flagged=12, n_studies=27)
    content = write_explanation(tmp_path, case_of(study, explanation_of(study, reference=reference)))
    page = (tmp_path / "index.html").read_text()
    assert [packed_heat(page)[k] for k in (HOT[0], 9)] == drawn
    assert [content["slices"][k]["heat"] for k in (HOT[0], 9)] == share
    assert content["peak"]["value"] == share[0]
    assert content["heat_scale"] == {"value": value, "n_flagged": 12, "n_studies": 27}
    meaning = "100 % is the median peak of the 12 of 27 validation studies that the model flags"
    assert content["full_scale"] == {"value": value, "meaning": meaning}
    assert meaning in page
    assert f"{told} Less than 8 % isn't painted." in page
    assert '"scale": "the validation reference"' in page
    with h5py.File(tmp_path / "heat.h5") as file:
        assert file["heat"][HOT] == share[0]
        assert (file.attrs["full_scale"], file.attrs["scale"]) == (value, meaning)
    volume = gzip.decompress((tmp_path / "heat.nii.gz").read_bytes())
    assert np.frombuffer(volume, "<f4", offset=352).max() == share[0]


def test_without_a_reference_each_study_has_its_own_peak_and_says_so(written: Path) -> None:
    content, page = json.loads((written / "explain.json").read_text()), (written / "index.html").read_text()
    meaning = "100 % is the study's own peak: heat of different studies doesn't compare"
    assert content["heat_scale"] is None
    assert content["full_scale"] == {"value": 4.0, "meaning": meaning}
    assert [packed_heat(page)[k] for k in (HOT[0], 9)] == [255, 64]
    assert meaning.replace("'", "&#39;") in page
    assert "The peak of this one" not in page


def test_captions_say_how_far_a_study_is_above_the_reference(make_study: StudyFactory) -> None:
    study = make_study()
    explanation = explanation_of(study, reference=HeatReference(2.0, 5, 9))
    assert "heat 200% of the validation reference; labelled PE." in slice_caption(explanation, study, HOT[0])
    assert explanation.shown.max() == 1.0
    assert explanation.shown[9].max() == 0.5
