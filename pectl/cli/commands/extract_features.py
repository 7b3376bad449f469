"""`pectl extract-features`."""

from pathlib import Path
from typing import Annotated

import typer

from pectl.cli.console import say
from pectl.cli.options import (
    ConfigOption,
    DeviceOption,
    QuietOption,
    SeedOption,
    SetOption,
    ShardOption,
    parse_shard,
)
from pectl.cli.watched import watched


def extract_features(
    store: Annotated[Path, typer.Argument(help="A study store.")],
    stage1: Annotated[Path, typer.Option("--stage1", help="A finished run of train-stage1.")],
    out: Annotated[Path, typer.Option("--out", help="The feature store.")],
    shard: ShardOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    quiet: QuietOption = False,
) -> None:
    """Turn every window of every study into a feature."""
    from pectl.config import load_config
    from pectl.steps.extract_features import extract_features as run

    resolved, part = load_config(config, overrides or [], seed), parse_shard(shard)
    with watched("studies", out, quiet=quiet, shard=part) as watch:
        count = run(
            store, stage1, out, resolved, device=device, shard=part, progress=watch.progress, expect=watch.expect
        )
    say(f"features of {count} studies extracted: {out}")
