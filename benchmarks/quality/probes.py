"""What the maps of a trained stage 1 tell of age and RV/LV, and what the masks of emboli tell: `probes.md`.

    python -m benchmarks.quality.probes --out quality --seed 0

A linear probe is a logistic regression on the mean of one map over the windows that matter: those with PE for age,
those with the heart's middle for RV/LV. It is fitted and judged on the studies with PE of the train and validation
splits, by five parts, five times; the test split is not read. The last row is a ceiling: a random forest on sizes,
HU and surroundings of the emboli, measured in their true masks on the store's grid.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

from benchmarks.quality.chain import Experiment
from benchmarks.quality.variants import OURS, VARIANTS
from pectl.config import WindowsConfig
from pectl.core.batches.windows import window_labels
from pectl.core.labels.names import ACUTE_AND_CHRONIC, CHRONIC, INDETERMINATE, NEGATIVE, RV_LV_GTE_1
from pectl.core.models.checkpoint import load_stage1
from pectl.core.models.stage1 import Feature, WindowEncoder
from pectl.core.places.kept import places_path
from pectl.core.statistics.ranking import auroc
from pectl.core.storage.h5 import open_h5
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.core.stores.runs import best_model, read_run
from pectl.core.stores.study_store import Study, StudyStore
from pectl.core.stores.tables import MADE_BY
from pectl.inference.device import make_engine
from pectl.inference.encoder import StudyEncoder
from pectl.phantom.truth import read_geometry

Features = dict[str, NDArray[np.float64]]
"""Of a study, by the name of the map: (2, C), over the windows with PE and over those with the heart."""
PARTS, REPEATS = 5, 5
MASKS = "the true masks, by a random forest"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.probes", description=__doc__.split("\n")[0])
    parser.add_argument("--config", type=Path, default=Path("sample_configs/phantom.toml"))
    parser.add_argument("--out", type=Path, required=True, help="folder of python -m benchmarks.quality")
    parser.add_argument("--seed", type=int, default=0, help="of the model that was trained there")
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="as it was trained")
    given = parser.parse_args()
    experiment = Experiment(given.config, given.out, tuple(given.overrides), 1)
    store = StudyStore.open(experiment.store)
    studies = store.studies[(store.studies[NEGATIVE] == 0) & (store.studies[INDETERMINATE] == 0)]
    uids = [uid for uid in studies.index if store.splits[uid] != "test"]
    encoder = _encoder(experiment.chain(VARIANTS[OURS], given.seed).stage1)
    hearts = _hearts(experiment.out / "cohort" / "truth")
    features, masks = [], []
    for study in map(store.read_study, uids):
        number = _numbers(store, study.uid)
        features.append(_features(encoder, study, number > 0, hearts[study.series_uid]))
        masks.append(_of_masks(study, number))
    text = _report(studies.loc[uids], features, np.array(masks))
    (given.out / "probes.md").write_text(text)
    print(text)


def _encoder(run: Path) -> StudyEncoder:
    _, described = read_run(run, stage="stage1")
    windows = WindowsConfig.of_run(described["windows"])
    model, engine = load_stage1(best_model(run)), make_engine("cpu", "fp32")
    return StudyEncoder(model=model, windows=windows, input_px=described["input_px"], engine=engine)


def _hearts(truth: Path) -> dict[str, NDArray[np.float64]]:
    """Return the middle between both ventricles by series, in LPS mm."""
    found = map(read_geometry, sorted(truth.glob("*.npz")))
    return {
        one["series_uid"]: np.mean([one["rv_centre_lps_mm"], one["lv_centre_lps_mm"]], axis=0)  # (3,)
        for one in found
    }


def _numbers(store: StudyStore, uid: str) -> NDArray[np.intp]:
    with open_h5(places_path(store.path, uid), made_by=MADE_BY) as file:
        return np.asarray(file["number"][:], np.intp)


@torch.no_grad()
def _features(encoder: StudyEncoder, study: Study, embolus: NDArray[np.bool_], heart: NDArray[np.float64]) -> Features:
    """Return the mean of each map over the windows with PE, and over those with the heart's middle."""
    starts, length = encoder.starts(study), encoder.windows.length
    middle = (np.linalg.inv(study.affine) @ [*heart, 1.0])[0]
    over_heart = (starts <= middle) & (middle < starts + length)
    with_pe = window_labels(study.slice_label, starts, length=length) == 1
    shown = np.stack([with_pe, over_heart if over_heart.any() else np.ones_like(over_heart)])
    weight = torch.from_numpy(shown / np.maximum(shown.sum(axis=1, keepdims=True), 1)).float()  # (2, N)
    marked = torch.from_numpy(np.stack([embolus[start : start + length] for start in starts])).float()
    maps: dict[str, list[Tensor]] = {}
    at = 0
    for seen in encoder.passes(study, starts):
        here = marked[at : at + len(seen.window_logit)]
        at += len(here)
        for name, found in _maps(encoder.model, seen.feature, here):
            maps.setdefault(name, []).append(found)
    return {name: (weight @ torch.cat(parts)).numpy().astype(np.float64) for name, parts in maps.items()}


def _maps(model: WindowEncoder, feature: Feature, marked: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield (B, C) by the name of a map and of where it is looked at."""
    layer4, far = model.forward_layer4(feature.layer2, feature.context)
    clots = model.forward_head(feature).places
    for name, found in (("layer2", feature.layer2), ("layer4", layer4)):
        yield f"backbone, {name}, average", found.mean(dim=(2, 3, 4))
        if clots is not None:
            yield (
                f"backbone, {name}, where clots are seen",
                _mean_at(found, clots.flatten(1).softmax(dim=1).view_as(clots)),
            )
        yield f"backbone, {name}, where emboli are", _mean_at(found, marked)
    for name, part in (("layer2", feature.context), ("layer4", far)):
        if part is not None:
            yield f"context network, {name}, average", part.mean(dim=(2, 3, 4))


def _mean_at(found: Tensor, where: Tensor) -> Tensor:
    """(B, C, t, h, w) and (B, T, H, W) >= 0 -> (B, C), the mean by weight."""
    weight = adaptive_avg_pool3d(where[:, None], (found.shape[2], found.shape[3], found.shape[4]))
    return (found * weight).sum(dim=(2, 3, 4)) / weight.sum(dim=(2, 3, 4)).clamp_min(1e-9)


def _of_masks(study: Study, number: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return (M,) measures of a study's emboli: weighted by size, and the least and largest."""
    measures = np.array([_of_mask(study, number == one) for one in np.unique(number[number > 0])])  # (n, m)
    weight = measures[:, :1] / measures[:, :1].sum()
    joined = [[len(measures)], (measures * weight).sum(axis=0), measures.min(axis=0), measures.max(axis=0)]
    return np.concatenate(joined)


def _of_mask(study: Study, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return size, HU inside, and HU of what touches one embolus: a wall, lung or contrast."""
    rim = ndimage.binary_dilation(mask) & ~mask
    inside, outside = study.hu[mask].astype(np.float64), study.hu[rim].astype(np.float64)
    depth = ndimage.distance_transform_edt(mask, sampling=study.spacing_mm)
    core = study.hu[depth >= np.percentile(depth[mask], 75)]
    quantiles = np.percentile(inside, [10, 50, 90])
    shares = [(outside > 200).mean(), (outside < 100).mean(), (outside < -200).mean()]
    return np.array([mask.sum(), inside.mean(), *quantiles, core.mean(), depth.max(), *shares, outside.mean()])


def _report(studies: pd.DataFrame, features: list[Features], masks: NDArray[np.float64]) -> str:
    answers = {
        "chronic": (studies[CHRONIC] == 1, 0),
        "chronic, or acute and chronic": ((studies[CHRONIC] == 1) | (studies[ACUTE_AND_CHRONIC] == 1), 0),
        "RV/LV": (studies[RV_LV_GTE_1] == 1, 1),
    }
    rows = {
        name: [
            _judged(np.array([one[name][windows] for one in features]), y.to_numpy(), _probe)
            for y, windows in answers.values()
        ]
        for name in features[0]
    }
    rows[MASKS] = [_judged(masks, y.to_numpy(), _forest) for name, (y, _) in answers.items() if name != "RV/LV"]
    count = ", ".join(f"{name} {int(y.sum())}" for name, (y, _) in answers.items())
    lines = [f"{len(studies)} studies with PE; {count}. {RESEARCH_USE}", ""]
    lines += ["| AUROC of a probe on | " + " | ".join(answers) + " |", "|---" * (len(answers) + 1) + "|"]
    cells = {name: [f"{value:.2f}" for value in values] for name, values in rows.items()}
    lines += [f"| {name} | " + " | ".join(row + [""] * (len(answers) - len(row))) + " |" for name, row in cells.items()]
    return "\n".join(lines) + "\n"


def _judged(x: NDArray[np.float64], y: NDArray[np.bool_], model: Callable[[], object]) -> float:
    """Return the mean AUROC of parts left out, over the repeats."""
    found = []
    for seed in range(REPEATS):
        parts = StratifiedKFold(PARTS, shuffle=True, random_state=seed)
        found.append(auroc(y, cross_val_predict(model(), x, y, cv=parts, method="predict_proba")[:, 1]))
    return float(np.mean(found))


def _probe() -> object:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=2000, class_weight="balanced"))


def _forest() -> object:
    return RandomForestClassifier(300, min_samples_leaf=3, class_weight="balanced", random_state=0)


if __name__ == "__main__":
    main()
