"""Pages to skim the lung boxes of a whole cohort: previews side by side, what was flagged first."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pectl.core.intake.tasks import preview_path, verdict_path
from pectl.core.intake.verdicts import read_verdict
from pectl.core.storage.files import write_text
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.report.environment import inline_file, template_environment

PER_PAGE = 200
"""Studies on a page: about 5 MB, which a browser opens at once."""


@dataclass(frozen=True)
class Entry:
    """A study on the sheet: its picture, and the codes of its repairs and warnings."""

    uid: str
    picture: Path
    codes: tuple[str, ...]


def write_preview_pages(out: Path, *, made_by: str) -> Path:
    """Write the pages of all studies that have a picture in a store or a folder of verdicts; return the first page.

    Raises:
        StoreError: the verdict on a study that has a picture can't be read.
    """
    entries = []
    folder = preview_path(out, "").parent
    for picture in sorted(folder.glob("*.jpg")):
        verdict = read_verdict(verdict_path(out, picture.stem), made_by=made_by)
        codes = dict.fromkeys(finding.code for finding in verdict.findings if finding.level != "ok")
        entries.append(Entry(picture.stem, picture, tuple(codes)))
    return write_contact_sheets(folder, entries)[0]


def write_contact_sheets(folder: Path, entries: Sequence[Entry]) -> list[Path]:
    """Write `index.html`, `page-2.html` ... into a folder, each self-contained, and return them.

    Args:
        folder: of the pages; made if it isn't there.
        entries: in any order; those with most codes come first.
    """
    ordered = sorted(entries, key=lambda entry: (-len(entry.codes), entry.codes, entry.uid))
    pages = [ordered[start : start + PER_PAGE] for start in range(0, max(1, len(ordered)), PER_PAGE)]
    names = ["index.html", *(f"page-{number}.html" for number in range(2, len(pages) + 1))]
    template = template_environment().get_template("contact_sheet.html.j2")
    for name, page in zip(names, pages, strict=True):
        rows = [(entry, inline_file(entry.picture)) for entry in page]
        write_text(
            folder / name,
            template.render(rows=rows, names=names, name=name, total=len(entries), use=RESEARCH_USE),
        )
    for old in set(folder.glob("page-*.html")) - {folder / name for name in names}:
        old.unlink()
    return [folder / name for name in names]
