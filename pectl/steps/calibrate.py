"""Fit a site's own thresholds, calibrators and abstain band."""

from dataclasses import replace
from pathlib import Path

from pectl.config import Config, write_config
from pectl.core.decisions.decisions import Decisions, fit_decisions
from pectl.core.storage.files import write_json
from pectl.steps.judged import Judged


def calibrate(judged: Judged, out: Path, config: Config) -> Decisions:
    """Fit decisions on labelled predictions and keep them as JSON, for `evaluate`.

    Args:
        judged: predictions and their truth; never of the studies that are to be judged.
        out: the JSON file; the configuration goes beside it as TOML.
        config: the experiment; `evaluate` is used.
    """
    fitted = fit_decisions(judged.predictions, judged.truth, config.evaluate)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, replace(fitted, made_from=judged.lineage).to_json())
    write_config(config, out.with_suffix(".toml"))
    return fitted
