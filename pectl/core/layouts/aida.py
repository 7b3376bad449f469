"""AIDA CTPA (Linköping): DICOM, several series a study; how labels are given isn't known."""

from pathlib import Path

from pectl.core.layouts.layout import Layout, SetContents, met
from pectl.core.layouts.listing import listed
from pectl.core.volumes.formats import suffix_of


def _recognise(_folder: Path) -> str:
    return ""  # no file of it is known that another set couldn't have


def _read(folder: Path) -> SetContents:
    volumes = [path.relative_to(folder) for path in listed(folder, "**/*") if suffix_of(path)]
    return SetContents(
        images=(folder,),
        dicom_alone=True,
        met=tuple(met("unread_volume", "volumes that aren't DICOM, perhaps outlines, which aren't read", volumes)),
    )


LAYOUT = Layout(
    name="aida",
    title="AIDA CTPA",
    source="AIDA Data Hub, 10.23698/aida/ctpa",
    licence="controlled access",
    gives="nothing that can be read: the form of its outlines isn't published",
    traps=(
        "five of 30 studies have PE",
        "a study has several series, reformats among them: the thin axial one is chosen, as always",
        "volumes beside the DICOM files are named and not read, as they may be outlines",
        "`--layout auto` can't tell it",
    ),
    recognise=_recognise,
    read=_read,
)
