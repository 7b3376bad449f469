"""How well the distance from training tells shifted studies: `unlike.md`, `unlike.json`.

    python -m benchmarks.quality.unlike --config demo/config.toml --stage1 demo/stage1 --features demo/features \
        --out unlike --shifts "faint contrast" "sharp kernels" --real CT_FOLDER

The distance and its threshold are fitted as `pectl bundle --features` fits them. The test split of the features is the
unshifted cohort; shifted phantoms are new to the model.
"""

import argparse
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.quality.chain import Experiment
from benchmarks.quality.shifts import SHIFTS, UNSHIFTED, make_shifted_store
from pectl.core.decisions.out_of_distribution import OutOfDistribution
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.core.stores.feature_store import FeatureStore
from pectl.evaluation.measure import Json, Units, measure
from pectl.steps.bundle import fit_distance

CONFIDENCE = 0.95
COLUMNS = ("AUROC of the distance", "flagged by distance", "by findings", "by either")
_MORE = {"slices 8 mm apart": ("phantom.slices=36", "phantom.thickness_to_step=[1.0]")}
"""For cohorts whose own slices lie 4 mm apart."""
ALL = {name: changes for name, changes in (SHIFTS | _MORE).items() if name != UNSHIFTED}


@dataclass(frozen=True)
class Judged:
    """Studies of one kind: (n,) distances, and whether the intake found something unusual."""

    distance: np.ndarray
    found: np.ndarray

    @classmethod
    def of(cls, features: FeatureStore, judge: OutOfDistribution) -> "Judged":
        """Judge the test split."""
        uids = features.uids("test")
        studies = features.studies.loc[uids]
        told = zip(studies["flags"], studies["slice_step_mm"], strict=True)
        distance = [judge.score(features.read(uid).features) for uid in uids]
        return cls(np.array(distance), np.array([bool(judge.findings(found.split(","), step)) for found, step in told]))


def main() -> None:
    """Make each cohort, extract its features, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.unlike", description=__doc__.split("\n")[0])
    parser.add_argument("--config", type=Path, required=True, help="of the chain that was trained")
    parser.add_argument("--stage1", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True, help="that stage 2 was trained on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shifts", nargs="*", default=list(ALL), choices=list(ALL), metavar="NAME")
    parser.add_argument("--real", type=Path, help="a folder of real CTs, shown as one more kind")
    parser.add_argument("--studies", type=int, default=20, help="of each shifted cohort")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    run = partial(_pectl, Experiment(given.config, given.out, (), 1))
    trained = FeatureStore.open(given.features)
    judge = fit_distance(trained)
    stores = {name: _shifted(run, given.out, name, given.studies, given.workers) for name in given.shifts}
    if given.real is not None:
        stores["real CTs"] = _real(run, given.out, given.real)
    groups = {name: Judged.of(_features(run, store, given.stage1), judge) for name, store in stores.items()}
    _write(given.out, Judged.of(trained, judge), groups, judge)


def _pectl(experiment: Experiment, *arguments: object, changes: tuple[str, ...] = (), seed: int = 0) -> None:
    experiment.pectl(*arguments, "--seed", seed, changes=changes)


def _shifted(run: "partial[None]", out: Path, name: str, studies: int, workers: int) -> Path:
    folder = out / name.replace(" ", "-").replace(",", "")
    if not (folder / "store" / "store.json").exists():
        make_shifted_store(run, folder, (f"phantom.studies={studies}", *ALL[name]), workers)
    return folder / "store"


def _real(run: "partial[None]", out: Path, source: Path) -> Path:
    """Preprocess real CTs; those that are refused are told by `refused.csv` there. All are test studies."""
    store = out / "real" / "store"
    if not (store / "store.json").exists():
        run("preprocess", source, "--out", store, changes=("split.test_fraction=0.99", "split.val_fraction=0"))
    return store


def _features(run: "partial[None]", store: Path, stage1: Path) -> FeatureStore:
    out = store.parent / "features"
    if not (out / "features.json").exists():
        run("extract-features", store, "--stage1", stage1, "--out", out)
    return FeatureStore.open(out)


def _write(out: Path, plain: Judged, groups: dict[str, Judged], judge: OutOfDistribution) -> None:
    found = {name: _measured(plain, group, judge.threshold) for name, group in groups.items()}
    head = f"threshold {judge.threshold:.4g}; fitted on {judge.n_fit} and {judge.n_threshold} studies. {RESEARCH_USE}"
    rows = ["| studies | n | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    rows += [_row("unshifted", plain, None, judge.threshold)]
    rows += [_row(name, group, found[name], judge.threshold) for name, group in groups.items()]
    text = "\n".join([head, "", *rows]) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    (out / "unlike.md").write_text(text)
    (out / "unlike.json").write_text(json.dumps({"threshold": judge.threshold, "kinds": found}, indent=2))
    print(text)


def _measured(plain: Judged, group: Judged, threshold: float) -> Json:
    """Return the AUROC of the distance for being shifted, and what the threshold makes of it."""
    distance = np.concatenate([plain.distance, group.distance])
    score = distance / (distance + threshold)  # in [0, 1], the threshold at one half
    label = np.repeat([False, True], [len(plain.distance), len(group.distance)])
    return measure(Units(label, score, score), threshold=0.5, confidence=CONFIDENCE)


def _row(name: str, group: Judged, found: Json | None, threshold: float) -> str:
    far, n = group.distance > threshold, len(group.distance)
    counts = (far.sum(), group.found.sum(), (far | group.found).sum())
    area = "" if found is None else f"{found['auroc']:.3f} ({found['auroc_ci'][0]:.3f} to {found['auroc_ci'][1]:.3f})"
    return f"| {name} | {n} | {area} | " + " | ".join(f"{count} of {n}" for count in counts) + " |"


if __name__ == "__main__":
    main()
