"""`pectl compare`."""

from pathlib import Path
from typing import Annotated

import typer

from pectl.cli.console import say
from pectl.cli.options import ConfigOption, SeedOption, SetOption


def compare(
    first: Annotated[Path, typer.Argument(help="A folder of pectl evaluate.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the comparison.")],
    config: ConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
) -> None:
    """Compare two evaluations on the studies both have.

    Paired DeLong and bootstrap for each label, with Holm's correction.
    """
    from pectl.analysis.compare import compare as run
    from pectl.config import load_config, write_config
    from pectl.report.comparison_report import write_comparison_report

    resolved = load_config(config, overrides or [], seed)
    run(first, second, resolved.evaluate, out=out, seed=resolved.seed)
    write_config(resolved, out / "config.toml")
    say(f"report: {write_comparison_report(out)}")
