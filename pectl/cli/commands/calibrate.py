"""`pectl calibrate`."""

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
        typer.Option(
            "--target-sensitivity",
            min=0.0,
            max=1.0,
            help="Of the thresholds on these studies; the rest to 1 becomes the bound on the miss rate.",
        ),
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
    from pectl.steps.calibrate import calibrate as run

    resolved = load_config(config, _aimed(target_sensitivity, overrides or []), seed)
    judged = read_judged((features, stage2), (predictions, labels), split=split, device=device)
    fitted = run(judged, out, resolved)
    _show(fitted)
    say(f"decisions: {out}; apply with pectl evaluate --decisions, to other studies")


def _aimed(sensitivity: float | None, overrides: list[str]) -> list[str]:
    """Aim thresholds and the bound on the miss rate at a sensitivity; a bound that was set by name stays."""
    if sensitivity is None:
        return overrides
    rule = ("evaluate.threshold_rule=target-sensitivity", f"evaluate.target={sensitivity}")
    return [f"evaluate.miss_rate={round(1 - sensitivity, 12)}", *overrides, *rule]


def _show(fitted: "Decisions") -> None:
    from pectl.core.decisions.conformal import SURE
    from pectl.core.labels.names import PE_PRESENT

    threshold, band = fitted.thresholds[PE_PRESENT], fitted.band
    sure = f"with {SURE:.0%} confidence"
    rows = {
        "studies": f"{fitted.n_studies:,} ({band.n_positive:,} with PE, {band.n_negative:,} without)",
        "PE called from": f"{threshold.value:.4g} ({threshold.reason or threshold.rule})",
        "ruled out below": f"{band.rule_out:.4g} (misses at most {band.miss_rate:.3g} of PE on average, at most "
        f"{band.miss_rate_sure:.3g} {sure})"
        if band.rule_out
        else f"never: too few studies with PE to promise {band.miss_rate:.3g}",
        "ruled in from": f"{band.rule_in:.4g} (at most {band.false_alarm_rate:.3g} false alarms on average, at most "
        f"{band.false_alarm_rate_sure:.3g} {sure})"
        if band.rule_in <= 1
        else f"never: too few studies without PE to promise {band.false_alarm_rate:.3g}",
    }
    show_table("fitted", rows)
