"""All sites of an external validation: each by itself, and together no more than they allow."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pectl.config import EvaluateConfig
from pectl.core.labels.names import PE_PRESENT
from pectl.core.labels.predictions import pe_truth
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.evaluation.external.measures import measure_site
from pectl.evaluation.external.overlap import overlap_of, repeated
from pectl.evaluation.external.pooled import summarise_sites
from pectl.evaluation.external.sites import SiteData
from pectl.evaluation.measure import Json

FORMAT, VERSION = "pectl-external-validation", 1


def validate_sites(
    sites: Sequence[SiteData],
    prints: Mapping[str, Mapping[str, str]],
    *,
    model: Mapping[str, Any],
    config: EvaluateConfig,
    seed: int,
) -> Json:
    """Return the content of `external.json` but for where the sites lie.

    Args:
        sites: with the outcome of each study.
        prints: fingerprint by study, by site.
        model: what is known of it; `training_fingerprints` and `trained_on` are used.
        config: confidence, bootstrap, and how indeterminate studies count; `calibration`, `threshold_rule` and
            `target` are those of the local calibration, which no main figure uses.
        seed: of the bootstrap and of the folds.
    """
    known = {"fingerprints": model["training_fingerprints"], "trained_on": model["trained_on"]}
    blocks = {
        site.name: measure_site(site, config, seed=seed) | {"overlap": overlap_of(site.studies, **known)}
        for site in sites
    }
    return {
        "format": FORMAT,
        "version": VERSION,
        "use": RESEARCH_USE,
        "model": dict(model),
        "confidence": config.confidence,
        "bootstrap_replicates": config.bootstrap_replicates,
        "seed": seed,
        "indeterminate": config.indeterminate,
        "sites": blocks,
        "summary": summarise_sites(blocks, config.confidence),
        "repeated": repeated(prints),
    }


def study_table(sites: Sequence[SiteData], config: EvaluateConfig) -> pd.DataFrame:
    """Return a row for every study of every site: what became of it, the truth, and what the model says."""
    return pd.concat([_rows(site, config) for site in sites], ignore_index=True)


def _rows(site: SiteData, config: EvaluateConfig) -> pd.DataFrame:
    studies = site.studies
    columns = {
        "site": site.name,
        "outcome": studies["outcome"],
        "code": studies["code"],
        f"{PE_PRESENT}_truth": pe_truth(studies, config.indeterminate),
        f"{PE_PRESENT}_score": site.score[PE_PRESENT].reindex(studies.index),
        f"{PE_PRESENT}_probability": site.probability[PE_PRESENT].reindex(studies.index),
        "state": studies["state"],
        "unlike": studies["unlike"],
        "provenance": studies.get("provenance", ""),
        "training_distance": studies["distance"],
    }
    return pd.DataFrame(columns, index=studies.index).rename_axis("StudyInstanceUID").reset_index()
