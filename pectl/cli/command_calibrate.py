"""`pectl calibrate`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pectl.cli.console import say, show_table
from pectl.cli.judged import FeaturesArgument, LabelsOption, PredictionsOption, Stage2Option, read_judged
from pectl.cli.options import ConfigOption, DeviceOption, SeedOption, SetOption

if TYPE_CHECKING:
    from pectl.core.decisions.decisions import Decisions


def calibrate(
    out: Annotated[Path, typer.Option("--out", help="The JSON file to write, for evaluate --decisions.")],
    features: FeaturesArgument = None,
    stage2: Stage2Option = None,
    split: Annotated[str, typer.Option("--split", help="Studies to fit on; never those to be judged.")] = "val",
    predictions: PredictionsOption = None,
    labels: LabelsOption = None,
    target_sensitivity: Annotated[
        float | None,
        typer.Option("--target-sensitivity", help="Of the thresholds on these studies; overrides the rule."),
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
) -> None:
    """Fit a site's own thresholds and calibrators.

    They and the abstain band are fitted on labelled predictions, and serve evaluate --decisions.
    """
    from pectl.config import load_config
    from pectl.core.data.files import write_json
    from pectl.core.decisions.decisions import fit_decisions

    asked = f"evaluate.target={target_sensitivity}"
    more = [] if target_sensitivity is None else ["evaluate.threshold_rule=target-sensitivity", asked]
    resolved = load_config(config, [*(overrides or []), *more], seed)
    judged = read_judged((features, stage2), (predictions, labels), split=split, device=device)
    fitted = fit_decisions(judged.predictions, judged.truth, resolved.evaluate)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, replace(fitted, made_from=judged.lineage).to_json())
    _show(fitted)
    say(f"decisions: {out}; apply with pectl evaluate --decisions, to other studies")


def _show(fitted: "Decisions") -> None:
    from pectl.core.data.predictions import PE_PRESENT

    threshold, band = fitted.thresholds[PE_PRESENT], fitted.band
    rows = {
        "studies": f"{fitted.n_studies:,} ({band.n_positive:,} with PE, {band.n_negative:,} without)",
        "PE called from": f"{threshold.value:.4g} ({threshold.reason or threshold.rule})",
        "ruled out below": f"{band.rule_out:.4g} (misses at most {band.miss_rate:.0%} of PE)"
        if band.rule_out
        else f"never: too few studies with PE to promise {band.miss_rate:.0%}",
        "ruled in from": f"{band.rule_in:.4g} (at most {band.false_alarm_rate:.0%} false alarms)"
        if band.rule_in <= 1
        else f"never: too few studies without PE to promise {band.false_alarm_rate:.0%}",
    }
    show_table("fitted", rows)
