"""`pectl demo`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pectl.cli.commands import (
    evaluate,
    explain,
    extract_features,
    phantom,
    preprocess,
    train_stage1,
    train_stage2,
)
from pectl.cli.console import say
from pectl.cli.options import ConfigOption, DeviceOption, QuietOption, SeedOption, SetOption, WorkersOption


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder of everything the demo makes.")] = Path("demo"),
    workers: WorkersOption = 2,
    config: ConfigOption = Path("demo"),
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    quiet: QuietOption = False,
) -> None:
    """Run the whole chain on a phantom cohort.

    Run again, it goes on where it stopped.
    """
    shared: dict[str, Any] = {"config": config, "overrides": overrides, "seed": seed, "quiet": quiet}
    cohort, store, features = out / "cohort", out / "store", out / "features"
    stage1, stage2 = out / "stage1", out / "stage2"
    say("1/7 phantom cohort")
    phantom.phantom(cohort, workers=workers, **shared)
    say("2/7 preprocess")
    preprocess.preprocess([cohort], out=store, layout="phantom", workers=workers, **shared)
    say("3/7 train stage 1")
    train_stage1.train_stage1(store, out=stage1, resume=True, device=device, **shared)
    say("4/7 extract features")
    extract_features.extract_features(store, stage1=stage1, out=features, device=device, **shared)
    say("5/7 train stage 2")
    train_stage2.train_stage2(features, out=stage2, resume=True, device=device, **shared)
    say("6/7 explain the test studies")
    explanations = out / "explanations"
    explain.explain(
        store,
        stage1=stage1,
        stage2=stage2,
        split="test",
        truth=cohort / "truth",
        out=explanations,
        device=device,
        **shared,
    )
    say("7/7 evaluate on the test studies, which neither stage saw")
    evaluate.evaluate(
        out / "evaluation",
        features,
        stage2=stage2,
        explanations=explanations,
        truth=cohort / "truth",
        device=device,
        **shared,
    )
