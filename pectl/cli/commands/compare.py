"""`pectl compare`."""

from pathlib import Path
from typing import Annotated, Any

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
    from pectl.config import load_config
    from pectl.report.evaluation.comparison import REPORT_NAME
    from pectl.steps.compare import compare as run

    result = run(first, second, out, load_config(config, overrides or [], seed))
    _show(result)
    say(f"report: {out / REPORT_NAME}")


def _show(result: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from pectl.cli.console import console
    from pectl.report.text import estimate, number, p_value

    columns = ("label", "n", "AUROC A", "B", f"A - B ({result['confidence']:.0%} CI)", "p (Holm)")
    title = f"A: {result['first']}, B: {result['second']}"
    table = Table(*columns, title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for row in result["rows"]:
        areas = number(row["auroc_a"]), number(row["auroc_b"])
        difference = estimate(row["difference"], row["difference_ci"])
        name = row["label"] if row["level"] == "study" else f"{row['level']} {row['label']}"
        table.add_row(name, str(row["n"]), *areas, difference, p_value(row["p_holm"]))
    console().print(table)
