"""What `validate` and `preprocess` take and show alike."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pectl.cli.console import console, say

if TYPE_CHECKING:
    from pectl.core.intake.findings import Fault, Finding
    from pectl.core.intake.verdicts import Verdict
    from pectl.core.volumes.stated import Stated

STRICT_EXIT = 3
MOST_LISTED = 20

SourcesArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="DICOM...",
        help="Folders of DICOM files, any names, any nesting; or files, zip or tar archives, a DICOMDIR; or volumes as "
        "NIfTI, NRRD, MetaImage or NumPy files.",
    ),
]
LabelsOption = Annotated[Path | None, typer.Option("--labels", help="Table like RSPECT's train.csv.")]
IndexOption = Annotated[
    Path | None,
    typer.Option("--index", help="Folder that keeps the headers for later runs; default dicom_index/ in --out."),
]
SeriesOption = Annotated[
    str | None,
    typer.Option(
        "--series",
        metavar="UID|CSV",
        help="The series to use whatever the rules say: for one study its SeriesInstanceUID, for several a table with "
        "the columns StudyInstanceUID and SeriesInstanceUID.",
    ),
]
SpacingOption = Annotated[
    str | None,
    typer.Option(
        "--spacing",
        metavar="Z,Y,X",
        help="Of volume files without a spacing: mm from slice to slice, row to row, column to column.",
    ),
]
ValuesOption = Annotated[
    str | None,
    typer.Option(
        "--values", metavar="FORMULA", help="What makes HU of the values x of volume files, such as 'x*1600-1000'."
    ),
]
PreviewsOption = Annotated[
    bool, typer.Option("--previews", help="A picture of each study's lung box, and pages to skim them, in previews/.")
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Exit 3 if a study was refused, or a file or folder couldn't be read.")
]

_STYLES = {"error": "red", "repair": "cyan", "warning": "yellow", "ok": "green"}


def parse_stated(spacing: str | None, values: str | None) -> "Stated":
    """Return what the user states of volume files.

    Raises:
        typer.BadParameter: not three steps in mm, or another formula than a linear one.
    """
    from pectl.core.volumes.stated import Stated, parse_spacing, parse_values

    try:
        steps = None if spacing is None else parse_spacing(spacing)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--spacing") from error
    try:
        return Stated(steps, None if values is None else parse_values(values))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--values") from error


def show_verdicts(verdicts: Sequence["Verdict"]) -> None:
    """Print in how many studies each code occurs, and what is wrong with those refused."""
    from rich.table import Table
    from rich.text import Text

    from pectl.core.intake.findings import CODES
    from pectl.core.intake.verdicts import count_codes

    table = Table(title=f"Verdicts on {len(verdicts)} studies", title_justify="left")
    for name in ("level", "code", "studies", "meaning"):
        table.add_column(name, justify="right" if name == "studies" else "left", overflow="fold")
    for code, count in count_codes(verdicts).items():
        level, meaning = CODES[code]
        table.add_row(Text(level, _STYLES[level]), code, str(count), meaning)
    console().print(table, soft_wrap=False)
    refused = [verdict for verdict in verdicts if verdict.refused]
    for verdict in refused[:MOST_LISTED]:
        say(f"refused {verdict.study}: {verdict.outcome.code}: {verdict.outcome.detail}")
    if len(refused) > MOST_LISTED:
        say(f"and {len(refused) - MOST_LISTED} more refused")


def show_previews(out: Path, *, made_by: str) -> None:
    """Write the pages of the pictures and say where they are."""
    from pectl.report.contact_sheet import write_preview_pages

    say(f"lung boxes to skim: {write_preview_pages(out, made_by=made_by)}")


def show_absent(studies: Sequence[str]) -> None:
    """Say of which studies a series was named in vain."""
    if studies:
        say(f"a series is named for {len(studies)} studies that aren't among the files, such as {studies[0]}")


def show_faults(faults: Iterable["Fault"]) -> None:
    """Name the files that can't be used on a terminal; a log only counts them, as their names may name patients."""
    listed = list(faults)
    if not sys.stderr.isatty():
        for code, count in sorted(Counter(fault.code for fault in listed).items()):
            what = "folders" if code == "unreadable_folder" else "files"
            warn(f"{code}: {count} {what}; run the command on a terminal to see which")
        return
    for fault in listed[:MOST_LISTED]:
        warn(f"{fault.code}: {fault.path}")
    if len(listed) > MOST_LISTED:
        warn(f"and {len(listed) - MOST_LISTED} more files that can't be used")


def show_remarks(remarks: Iterable["Finding"]) -> None:
    """Say what is said once, of all studies together."""
    for one in remarks:
        say(f"{one.level} {one.code}: {one.detail}")


def unread(faults: Sequence["Fault"]) -> str:
    """Say how many files and folders couldn't be read, as a part of the summary; empty where there is none."""
    count = sum(fault.unread for fault in faults)
    return f", {count} files or folders not read" if count else ""


def exit_if_strict(verdicts: Sequence["Verdict"], faults: Sequence["Fault"], *, strict: bool) -> None:
    """End with the exit code of `--strict` where a study was refused or something couldn't be read."""
    if strict and (any(verdict.refused for verdict in verdicts) or any(fault.unread for fault in faults)):
        raise typer.Exit(STRICT_EXIT)


def warn(text: str) -> None:
    """Say something on stderr."""
    console(stderr=True).print(text, markup=False)
