"""The measures of `python -m benchmarks.quality`, against the package's own and scikit-learn's."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.quality.comparison import MEASURES
from benchmarks.quality.paired import Draws, Tables, common_windows, difference_text, measure
from benchmarks.quality.unlike import Judged, _measured, _row
from benchmarks.quality.variants import OURS, VARIANTS
from pectl.config import load_config
from pectl.core.labels.names import EXAM_LABELS, PE_PRESENT
from pectl.evaluation.competition import competition_loss

UIDS = [f"s{number:02d}" for number in range(40)]


def tables(seed: int, *, skill: float = 1.0) -> Tables:
    """Forty studies, half of them with PE, of four windows and six images each."""
    truth, rng = np.random.default_rng(0), np.random.default_rng(seed)
    pe = np.arange(40) % 2 == 1
    exam = pd.DataFrame({"StudyInstanceUID": UIDS})
    for name in (PE_PRESENT, *EXAM_LABELS):
        label = pe.astype(float) if name == PE_PRESENT else (truth.random(40) < 0.5) * 1.0
        if name.startswith("rv_lv"):
            label = np.where(pe, label, np.nan)
        answer = 1 / (1 + np.exp(-rng.normal(skill * (np.nan_to_num(label) - 0.5), 1)))
        exam = exam.assign(**{f"{name}_truth": label, f"{name}_raw": answer, f"{name}_consistent": answer})
    exam["negative_exam_for_pe_truth"], exam["indeterminate_truth"] = 1.0 * ~pe, 0.0
    return Tables(exam, units(4, "window_start", pe, rng, skill), units(6, "SOPInstanceUID", pe, rng, skill), 0.6)


def units(count: int, key: str, pe: np.ndarray, rng: np.random.Generator, skill: float) -> pd.DataFrame:
    label = (np.tile(np.arange(count) < 2, 40) & np.repeat(pe, count)).astype(int)
    score = 1 / (1 + np.exp(-rng.normal(skill * (label - 0.5), 1)))
    places = np.tile(np.arange(count), 40)
    table = pd.DataFrame({"StudyInstanceUID": np.repeat(UIDS, count), key: places, "score": score, "label": label})
    return table.assign(stage1_score=score**2, consistent=score)


DRAWS = Draws.over(pd.Index(UIDS))


def test_measures_are_those_of_scikit_learn_and_of_the_package() -> None:
    one = tables(1)
    found = {name: measure([one], statistic, DRAWS) for name, statistic in MEASURES.items()}
    window, exam = one.window, one.exam
    assert found["window AUROC"].value == pytest.approx(roc_auc_score(window["label"], window["score"]))
    assert found["pe_present AUROC"].value == pytest.approx(
        roc_auc_score(exam["pe_present_truth"], exam["pe_present_raw"])
    )
    known = exam[exam["rv_lv_ratio_gte_1_truth"].notna()]
    assert found["rv_lv_ratio_gte_1 AUROC"].value == pytest.approx(
        roc_auc_score(known["rv_lv_ratio_gte_1_truth"], known["rv_lv_ratio_gte_1_raw"])
    )
    called = window["score"] >= 0.6
    assert found["window sensitivity"].value == pytest.approx(called[window["label"] == 1].mean())
    assert found["window specificity"].value == pytest.approx((~called[window["label"] == 0]).mean())
    truth, answers = (
        exam[[f"{name}_{part}" for name in EXAM_LABELS]].set_axis(list(EXAM_LABELS), axis=1)
        for part in ("truth", "consistent")
    )
    assert found["competition loss"].value == pytest.approx(competition_loss(truth, answers, one.image).total)


def test_a_variant_is_the_mean_of_its_seeds_and_differs_from_itself_by_nothing() -> None:
    statistic = MEASURES["window AUROC"]
    both = measure([tables(1), tables(2)], statistic, DRAWS)
    single = [measure([tables(seed)], statistic, DRAWS) for seed in (1, 2)]
    assert both.value == pytest.approx(np.mean([one.value for one in single]))
    gap = both - measure([tables(1), tables(2)], statistic, DRAWS)
    assert difference_text(gap) == "+0.000 (0.000 to 0.000)"


def test_a_clear_difference_is_told_from_none() -> None:
    statistic = MEASURES["window AUROC"]
    better, worse = (measure([tables(seed, skill=skill)], statistic, DRAWS) for seed, skill in ((3, 3.0), (4, 0.5)))
    low, high = (better - worse).interval()
    assert 0 < low < better.value - worse.value < high
    assert difference_text(better - worse).startswith("**+")


def test_only_the_windows_that_all_variants_have_are_judged() -> None:
    fewer, all_windows = tables(1), tables(2)
    kept = fewer.window[fewer.window["window_start"] % 2 == 0].reset_index(drop=True)
    fewer = Tables(fewer.exam, kept, fewer.image, 0.6)
    shared = common_windows([fewer, all_windows])
    assert len(shared) == 80
    pd.testing.assert_frame_equal(fewer.on(shared).window[kept.columns], kept)
    assert all_windows.on(shared).window["window_start"].isin([0, 2]).all()


def test_every_variant_is_another_experiment() -> None:
    """Ours with a choice taken back, or the choice that ours has made already; no two are alike."""
    parts = {name: resolved(variant.changes) for name, variant in VARIANTS.items()}
    others = {name: config for name, config in parts.items() if config != parts[OURS]}
    assert {"multitask", "tcn", "ensemble", "independent"} <= parts.keys() - others.keys()
    assert len({repr(config) for config in others.values()}) == len(others)
    assert {"no-multitask", "gru", "one-member", "hierarchical"} <= others.keys()


def resolved(changes: tuple[str, ...]) -> dict[str, object]:
    config = load_config(Path("sample_configs/phantom.toml"), list(changes))
    return config.model_dump(include={"windows", "stage1", "stage2"})


def test_shifted_studies_are_told_by_their_distance() -> None:
    plain = Judged(np.array([1.0, 2.0, 3.0, 5.0]), np.array([False, False, False, True]))
    far = Judged(np.array([4.0, 6.0]), np.array([True, False]))
    found = _measured(plain, far, threshold=4.5)
    assert found["auroc"] == 7 / 8
    assert (found["sensitivity"], found["specificity"]) == (0.5, 0.75)
    low, high = (f"{bound:.3f}" for bound in found["auroc_ci"])
    assert _row("far", far, found, 4.5) == f"| far | 2 | 0.875 ({low} to {high}) | 1 of 2 | 1 of 2 | 2 of 2 |"
    assert _row("unshifted", plain, None, 4.5) == "| unshifted | 4 |  | 1 of 4 | 1 of 4 | 1 of 4 |"
