"""What there is to say of each kind of artefact, and what is wrong with it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pectl.bundle.load import (
    load_bundle,
    read_config,
    read_decisions,
    read_fingerprints,
    read_heat_scales,
    read_out_of_distribution,
)
from pectl.bundle.manifest import VERSION, open_bundle
from pectl.bundle.pairs import check_weights
from pectl.config import PreprocessConfig, WindowsConfig
from pectl.core.decisions.decisions import Decisions
from pectl.core.decisions.heat_scale import HeatScale
from pectl.core.intake.verdicts import FORMAT as VERDICTS_FORMAT
from pectl.core.labels.names import PE_PRESENT
from pectl.core.models.checkpoint import load_stage1, load_stage2
from pectl.core.storage.files import read_json
from pectl.core.storage.stamp import RESEARCH_USE, read_stamp
from pectl.core.stores.feature_store import FeatureStore
from pectl.core.stores.paths import study_path
from pectl.core.stores.runs import best_model, read_run
from pectl.core.stores.study_store import StudyStore, study_row
from pectl.core.stores.tables import read_run_splits
from pectl.errors import PectlError, StoreError
from pectl.inference.instrument import read_heat_scale
from pectl.report.explanation.page import read_explanation
from pectl.steps.predicted.folder import FORMAT as WORKLIST_FORMAT
from pectl.steps.predicted.folder import MADE_BY, PredictionFolder
from pectl.steps.predicted.folder import VERSION as WORKLIST_VERSION

SHOWN = 3
"""Names of studies that a message gives."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What one artefact says.

    Attributes:
        facts: name -> value, in the order in which they are shown.
        made_from: digests of the inputs.
        problem: what is wrong, empty where it is whole.
        kind: a nearer name for it.
    """

    facts: dict[str, Any]
    made_from: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    kind: str = ""


def bundle_facts(path: Path) -> Facts:
    """Describe a bundle; loading it reads and checks every byte."""
    load_bundle(path)
    with open_bundle(path) as bundle:
        config = read_config(bundle)
        threshold = [decisions.thresholds[PE_PRESENT].value for decisions in read_decisions(bundle)]
        scales = read_heat_scales(bundle)
        distance, prints = read_out_of_distribution(bundle), len(read_fingerprints(bundle))
        manifest = bundle.manifest
    facts = {
        "use": RESEARCH_USE,
        "digest": manifest.digest,
        "version": f"{VERSION}, by pectl {manifest.package_version}",
        "bytes": path.stat().st_size,
        "members": manifest.n_members,
        "input": _input(config["preprocess"], config["windows"], config["input_px"]),
        "PE called from": ", ".join(f"{value:.4g}" for value in threshold),
        "heat": _heat(scales),
        "distance from training": "none"
        if distance is None
        else f"flagged above {distance.threshold:.4g} ({distance.n_fit} + {distance.n_threshold} studies)",
        "fingerprints": f"of {prints} studies" if prints else "none",
        "figures": "metrics.json, MODEL_CARD.md" if "metrics.json" in manifest.members else "none",
    }
    return Facts(facts=facts, made_from=manifest.made_from)


def store_facts(path: Path) -> Facts:
    """Describe a study store; each study's file is opened, and its voxels left alone."""
    store = StudyStore.open(path)
    uids = store.studies.index
    facts = {"digest": store.stamp.digest, "version": store.stamp.version, "studies": len(uids)}
    facts |= _split_facts(store.splits) | {"preprocess": store.config.model_dump(mode="json", exclude={"series"})}
    return Facts(facts=facts, made_from=store.stamp.made_from, problem=_damaged(uids, _StudyFiles(path).read))


def features_facts(path: Path) -> Facts:
    """Describe a feature store; each study is read."""
    store = FeatureStore.open(path)
    facts = {"digest": store.stamp.digest, "version": store.stamp.version, "studies": len(store.studies)}
    problem = _damaged(store.studies.index, store.read)
    return Facts(facts=facts | _split_facts(store.splits), made_from=store.stamp.made_from, problem=problem)


def run_facts(path: Path) -> Facts:
    """Describe a finished run; its model is loaded, and its weights compared with their digest."""
    stage = str(read_json(path / "run.json", made_by="pectl train").get("stage"))
    run, content = read_run(path, stage=stage)
    check_weights(path, run)
    (load_stage1 if stage == "stage1" else load_stage2)(best_model(path))
    best = {name: f"{value:.4g}" for name, value in content["best"].items()}
    facts = {"digest": run.digest, "version": run.version, "package": run.package_version}
    facts |= _split_facts(read_run_splits(path)) | {"best": best}
    if stage == "stage2":
        decisions = Decisions.from_json(read_json(path / "decisions.json", made_by="pectl train-stage2"))
        facts["PE called from"] = decisions.thresholds[PE_PRESENT].value
        facts["heat"] = _heat([read_heat_scale(path)])
    return Facts(facts=facts, made_from=run.made_from, kind=f"training run of {stage.replace('stage', 'stage ')}")


def evaluation_facts(path: Path) -> Facts:
    """Describe an evaluation."""
    metrics = read_json(path / "metrics.json", made_by="pectl evaluate")
    Decisions.from_json(read_json(path / "decisions.json", made_by="pectl evaluate"))
    _need(path / "metrics.json", metrics, ("split", "n_studies", "exam", "lineage"))
    block = (metrics["exam"] or {}).get(PE_PRESENT, {})
    facts = {"split": metrics["split"], "studies": metrics["n_studies"]}
    facts |= {"PE present, AUROC": block.get("auroc"), "interval": block.get("auroc_ci")}
    return Facts(facts=facts, made_from={name: str(value) for name, value in metrics["lineage"].items()})


def comparison_facts(path: Path) -> Facts:
    """Describe a comparison of two evaluations."""
    content = read_json(path / "comparison.json", made_by="pectl compare")
    _need(path / "comparison.json", content, ("first", "second", "rows"))
    return Facts(facts={"first": content["first"], "second": content["second"], "rows": len(content["rows"])})


def external_facts(path: Path) -> Facts:
    """Describe an external validation; the predictions of each site are read."""
    content = read_json(path / "external.json", made_by="pectl validate-external")
    _need(path / "external.json", content, ("model", "sites", "summary"))
    sites = {name: site["prevalence"]["n"] for name, site in content["sites"].items()}
    facts = {"sites": sites, "AUROC by random effects": content["summary"]["auroc"]}
    problem = _damaged(sites, lambda name: PredictionFolder(path / "sites" / name).rows())
    return Facts(facts=facts, made_from={"model": content["model"]["digest"]}, problem=problem)


def explanations_facts(path: Path) -> Facts:
    """Describe the explanations of a split; each must be finished."""
    summary = read_json(path / "summary.json", made_by="pectl explain --split")
    _need(path / "summary.json", summary, ("statement", "studies"))
    uids = list(summary["studies"])
    lineage = _explanation(path / uids[0]) if uids else {}
    facts = {"statement": summary["statement"], "studies": len(uids)}
    return Facts(
        facts=facts, made_from=lineage.get("lineage", {}), problem=_damaged(uids, lambda uid: _explanation(path / uid))
    )


def explanation_facts(path: Path) -> Facts:
    """Describe the explanation of one study."""
    content = _explanation(path)
    facts = {name: content[name] for name in ("study", "label", "method", "headline")}
    return Facts(facts=facts, made_from=content["lineage"])


def sanity_facts(path: Path) -> Facts:
    """Describe a sanity check."""
    content = read_json(path / "sanity_check.json", made_by="pectl sanity-check")
    _need(path / "sanity_check.json", content, ("statement", "passed", "lineage"))
    return Facts(facts={"statement": content["statement"]}, made_from=content["lineage"])


def verdicts_facts(path: Path) -> Facts:
    """Describe what validate left."""
    content = read_json(path / "verdicts.json", made_by="pectl validate")
    _need(path / "verdicts.json", content, ("format", "n_studies", "n_refused", "codes"))
    if content["format"] != VERDICTS_FORMAT:
        raise _other(path / "verdicts.json", f"the format {VERDICTS_FORMAT}", str(content["format"]))
    return Facts(facts={"studies": content["n_studies"], "refused": content["n_refused"], "codes": content["codes"]})


def worklist_facts(path: Path) -> Facts:
    """Describe what predict left; each study's answer is read."""
    stamp, content = read_stamp(
        path / "predictions.json", format=WORKLIST_FORMAT, version=WORKLIST_VERSION, made_by=MADE_BY
    )
    try:
        states = Counter(row.prediction.state for row in PredictionFolder(path).rows())
        problem = "" if (path / "worklist.csv").is_file() else "no worklist.csv: predict hasn't ended"
    except StoreError as error:
        states, problem = Counter(), str(error)
    facts = {"model": content.get("model"), "studies": sum(states.values())} | dict(sorted(states.items()))
    return Facts(facts=facts, made_from=stamp.made_from, problem=problem)


def cohort_facts(path: Path) -> Facts:
    """Describe a cohort in RSPECT's layout; one with `truth/` is of phantoms."""
    studies = [one.name for one in (path / "train").glob("*") if one.is_dir()]
    truth = {one.stem for one in (path / "truth").glob("*.npz")}
    without = sorted(set(studies) - truth) if truth else []
    problem = f"no truth of {len(without)} studies, such as {', '.join(without[:SHOWN])}" if without else ""
    kind = "phantom cohort" if truth else "cohort in RSPECT's layout"
    return Facts(facts={"studies": len(studies), "with truth": len(truth)}, problem=problem, kind=kind)


def _heat(scales: Iterable[HeatScale]) -> str:
    """Say which heat compares between studies."""
    labels = [
        f"{method} of {label} beside {one.n_flagged} validation studies"
        for scale in scales
        for method, labels in scale.references.items()
        for label, one in labels.items()
    ]
    return ", ".join(labels) or "beside each study's own peak"


def _input(preprocess: PreprocessConfig, windows: WindowsConfig, input_px: int) -> str:
    grid = f"slices {preprocess.slice_spacing_mm:g} mm apart at {preprocess.in_plane_px} px"
    return f"{grid}, windows of {windows.length} slices every {windows.stride}, stage 1 at {input_px} px"


@dataclass(frozen=True)
class _StudyFiles:
    """The files of a study store."""

    store: Path

    def read(self, uid: str) -> object:
        """Open a study's file; its voxels aren't read."""
        return study_row(study_path(self.store, uid))


def _explanation(folder: Path) -> dict[str, Any]:
    content = read_explanation(folder)
    if content is None:
        raise _other(folder, "a finished explanation", "none")
    _need(folder / "explain.json", content, ("study", "label", "method", "headline", "lineage"))
    return content


def _split_facts(splits: "pd.Series[str]") -> dict[str, Any]:
    return {"splits": {str(name): int(n) for name, n in splits.value_counts().sort_index().items()}}


def _damaged(uids: Iterable[str], read: Callable[[str], object]) -> str:
    """Say which studies can't be read, if any."""
    faults: list[str] = []
    for uid in uids:
        try:
            read(uid)
        except PectlError as error:
            faults.append(str(error))
    return f"{len(faults)} studies can't be read, the first: {faults[0]}" if faults else ""


def _need(path: Path, content: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    if missing := [key for key in keys if key not in content]:
        raise _other(path, f"the keys {', '.join(keys)}", f"no {', '.join(missing)}")


def _other(path: Path, expected: str, found: str) -> StoreError:
    return StoreError(where=path, expected=expected, found=found, fix="run the command that made it again")
