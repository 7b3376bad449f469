"""`pectl sanity-check`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pectl.cli.commands.explain import LabelOption, MethodOption, SourceArgument, Stage1Option, Stage2Option
from pectl.cli.console import say
from pectl.cli.options import ConfigOption, DeviceOption, QuietOption, SeedOption, SetOption
from pectl.cli.watched import watched


def sanity_check(
    source: SourceArgument,
    stage1: Stage1Option,
    stage2: Stage2Option,
    out: Annotated[Path, typer.Option("--out", help="Folder of the figure and the JSON.")],
    study: Annotated[str | None, typer.Option("--study", help="StudyInstanceUID; default: positive ones.")] = None,
    split: Annotated[str, typer.Option("--split", help="Where positive studies are taken from.")] = "test",
    studies: Annotated[int, typer.Option("--studies", min=1, help="How many of the split.")] = 5,
    label: LabelOption = "pe_present",
    method: MethodOption = "layer-cam",
    config: ConfigOption = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    quiet: QuietOption = False,
) -> None:
    """Randomise the model layer by layer: its heat must change (Adebayo et al. 2018)."""
    from pectl.config import load_config
    from pectl.steps.sanity_check import FIGURE_NAME, SanityQuestion, check_sanity

    resolved = load_config(config, overrides or [], seed)
    question = SanityQuestion(
        stage1=stage1,
        stage2=stage2,
        source=source,
        uid=study,
        split=split,
        studies=studies,
        label=label,
        method=method,
    )
    with watched("studies checked", out, quiet=quiet) as watch:
        summary = check_sanity(question, out, config=resolved, device=device, progress=watch.progress)
    if not quiet:
        _show(summary)
        say(f"figure: {out / FIGURE_NAME}")
    say(summary["statement"])


def _show(summary: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from pectl.cli.console import console
    from pectl.report.text import estimate

    table = Table("random from the answer down to", "rank correlation", "SSIM", box=SIMPLE_HEAD, pad_edge=False)
    for row in summary["parts"]:
        cells = [estimate(row[name]["mean"], row[name]["ci"], 2) for name in ("rank_correlation", "ssim")]
        table.add_row(row["part"], *cells)
    console().print(table)
