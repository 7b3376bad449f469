"""Validate a bundle at sites that it wasn't made at: predict everything frozen, judge each site by itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pectl.bundle.load import read_decisions, read_fingerprints
from pectl.bundle.manifest import open_bundle
from pectl.bundle.unloaded import UnloadedBundle
from pectl.config import Config, EvaluateConfig, write_config
from pectl.core.decisions.decisions import EXAM_NAMES, Decisions
from pectl.core.labels.names import STUDY
from pectl.core.storage.files import atomic_path, write_json
from pectl.core.stores.paths import study_path
from pectl.evaluation.external.checklist import checklist
from pectl.evaluation.external.overlap import with_overlap
from pectl.evaluation.external.sites import SiteData, frozen, outcomes
from pectl.evaluation.external.validate import study_table, validate_sites
from pectl.inference.prediction import Prediction
from pectl.report.external.page import write_external_report
from pectl.steps.external.fingerprints import store_fingerprints
from pectl.steps.external.sites import UNREADABLE, Site, open_sites
from pectl.steps.predict_studies import Wish, predict_studies

if TYPE_CHECKING:
    from pectl.inference.device import DeviceName
    from pectl.inference.instrument import Instrument

Progress = Callable[[int, int], None]
RESULT, STUDIES, CHECKLIST = "external.json", "studies.csv", "claim_tripod.csv"
_FLOAT_FORMAT = "%.9g"


@dataclass(frozen=True, kw_only=True)
class ExternalQuestion:
    """What is to be validated, and where.

    Attributes:
        model: a bundle.
        stores: study stores with labels, by the name of their site.
        sizes: stores with masks, or phantom cohorts, by the name of their site: subgroups by clot size.
        trained_on: sets that the model was made with, as the column `provenance` of a store names them.
        device: where to compute.
        workers: processes that read volumes for their fingerprints.
        progress: called with (studies done, studies).
    """

    model: Path
    stores: Mapping[str, Path]
    sizes: Mapping[str, Path] = field(default_factory=dict)
    trained_on: Sequence[str] = ()
    device: "DeviceName" = "auto"
    workers: int = 1
    progress: Progress = field(default=lambda done, total: None)


def validate_external(question: ExternalQuestion, out: Path, config: Config) -> dict[str, Any]:
    """Predict every study of every site with one frozen model, judge each site, and write the report.

    What an earlier run has predicted stays, as in `predict`.

    Args:
        question: the model and the sites.
        out: folder of `external.json`, `report.html`, `studies.csv`, `claim_tripod.csv` and, for each site, its
            predictions in `sites/NAME/`.
        config: the experiment; `evaluate` and `seed` are used.

    Returns:
        The content of `external.json`.

    Raises:
        StoreError: a bundle or store that isn't whole or of this version.
        LineageError: a store of other preprocessing than the bundle's, or `out` holds another model's predictions.
        InputMissingError: a store without studies, or a study without masks where masks are given.
        LabelsError: a store without labels of PE.
        ConfigError: one store, study or name for two sites.
    """
    unloaded = UnloadedBundle.open(question.model)
    sites = open_sites(question.stores, unloaded.preprocess, model=unloaded.model.name, sizes=question.sizes)
    tables = [site.table() for site in sites]  # masks that are missing are missed before the work
    with open_bundle(question.model) as bundle:
        known = _Known(frozen(read_decisions(bundle)), read_fingerprints(bundle), question.trained_on)
    watch = _Progress(question.progress, [len(site.met) for site in sites])
    instrument = unloaded.load()
    data, prints = [], {}
    for number, (site, table) in enumerate(zip(sites, tables, strict=True)):
        folder = out / "sites" / site.name
        prints[site.name] = _fingerprints(site, folder, question.workers, watch.before(number))
        predictions = _predict(site, instrument, folder, question, watch.of(number))
        judged = known.judge(table, predictions, prints[site.name], config.evaluate)
        data.append(SiteData(site.name, judged, *_answers(predictions), known.decisions))
    model = {
        "name": instrument.name,
        "package_version": instrument.version,
        "digest": instrument.digest,
        "made_from": dict(instrument.lineage),
        "members": len(instrument.members),
        "studies_it_was_made_with": len(instrument.seen),
        "training_fingerprints": len(known.training),
        "trained_on": sorted(question.trained_on),
    }
    result = validate_sites(data, prints, model=model, config=config.evaluate, seed=config.seed)
    for site in sites:
        stamp = site.store.stamp
        result["sites"][site.name] |= {"store": stamp.digest, "labels": stamp.made_from.get("labels", "")}
    _write(out, result, study_table(data, config.evaluate), config)
    return result


class _Progress:
    """The progress of all sites as one."""

    def __init__(self, report: Progress, sizes: Sequence[int]) -> None:
        self._report, self._sizes = report, sizes

    def before(self, number: int) -> Progress:
        """Return what is told that the site of this number is worked on, and none of its studies is done yet."""
        return lambda _, __: self._report(sum(self._sizes[:number]), sum(self._sizes))

    def of(self, number: int) -> Progress:
        """Return what the site of this number reports to: how many of those left are done."""
        before, size, total = sum(self._sizes[:number]), self._sizes[number], sum(self._sizes)
        return lambda done, left: self._report(before + size - left + done, total)


def _predict(
    site: Site, instrument: "Instrument", folder: Path, question: ExternalQuestion, progress: Progress
) -> dict[str, Prediction]:
    wish = Wish(device=question.device, progress=progress)
    summary = predict_studies([site.store.path], instrument, folder, wish)
    return {row.prediction.study: row.prediction for row in summary.rows if row.prediction.study in site.met.index}


def _fingerprints(site: Site, folder: Path, workers: int, progress: Progress) -> dict[str, str]:
    paths = [study_path(site.store.path, str(uid)) for uid in site.store.studies.index]
    there = [path for path in paths if path.exists()]
    return store_fingerprints(there, folder / "fingerprints.json", workers=workers, progress=progress)


@dataclass(frozen=True)
class _Known:
    """What is known of a model beside its networks: decisions, fingerprints of its training, sets it was made with."""

    decisions: Decisions
    training: Sequence[str]
    trained_on: Sequence[str]

    def judge(
        self,
        table: pd.DataFrame,
        predictions: Mapping[str, Prediction],
        prints: Mapping[str, str],
        config: EvaluateConfig,
    ) -> pd.DataFrame:
        """Return the studies of a site with what is said of each, and what becomes of it."""
        studies = with_overlap(_with_predictions(table, predictions), prints, self.training, self.trained_on)
        return studies.assign(outcome=outcomes(studies, config))


def _answers(predictions: Mapping[str, Prediction]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return scores and calibrated probabilities of the studies that were read, by StudyInstanceUID."""
    answered = {uid: one.answers for uid, one in predictions.items() if one.answers}
    score, probability = (
        pd.DataFrame(
            {name: [getattr(answers[name], part) for answers in answered.values()] for name in EXAM_NAMES},
            index=pd.Index(list(answered), name=STUDY),
            dtype=float,
        )
        for part in ("score", "probability")
    )
    return score, probability


def _with_predictions(studies: pd.DataFrame, predictions: Mapping[str, Prediction]) -> pd.DataFrame:
    """Add what the intake and the model say of each study; its own code where the model couldn't read it."""
    said = [predictions.get(str(uid)) for uid in studies.index]
    codes = [
        one.findings[0].code if one is not None and one.state == "refused" else code
        for one, code in zip(said, studies["code"], strict=True)
    ]
    return studies.assign(
        code=codes,
        state=["" if one is None else one.state for one in said],
        unlike=["" if one is None else "; ".join(one.unlike) for one in said],
        seen=[one is not None and one.seen for one in said],
        refused=[one is None or one.state == "refused" for one in said],
        unreadable=[code in UNREADABLE for code in codes],
    )


def _write(out: Path, result: dict[str, Any], studies: pd.DataFrame, config: Config) -> None:
    for name, table in ((STUDIES, studies), (CHECKLIST, checklist(result))):
        with atomic_path(out / name) as temporary:
            table.to_csv(temporary, index=False, float_format=_FLOAT_FORMAT)
    write_config(config, out / "config.toml")
    write_json(out / RESULT, result)
    write_external_report(out)
