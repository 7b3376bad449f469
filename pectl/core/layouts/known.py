"""The public sets that can be read, by name, and how a folder is recognised."""

from pathlib import Path

from pectl.core.layouts import (
    aida,
    augmented_rspect,
    cad_pe,
    fumpe,
    hipas,
    inspect,
    parse,
    phantom,
    radfusion,
    read,
    rspect,
)
from pectl.core.layouts.layout import Layout, SetContents
from pectl.errors import ConfigError, InputMissingError

LAYOUTS = {
    layout.name: layout
    for layout in (
        inspect.LAYOUT,
        radfusion.LAYOUT,
        cad_pe.LAYOUT,
        fumpe.LAYOUT,
        aida.LAYOUT,
        read.LAYOUT,
        augmented_rspect.LAYOUT,
        parse.LAYOUT,
        hipas.LAYOUT,
        rspect.LAYOUT,
        phantom.LAYOUT,
    )
}
"""A new set is a file here and a row."""
AUTO = "auto"
TESTED = "No set could be had: what is read was tested on fakes, made from public descriptions."


def choose_layout(name: str, folder: Path) -> tuple[Layout, str]:
    """Return the layout of a folder, and why it is that one.

    Args:
        name: of a layout, or AUTO: by files that only one set has.
        folder: of the set.

    Raises:
        InputMissingError: no such folder.
        ConfigError: no such layout; or a folder that is none of them, or more than one.
    """
    if not folder.is_dir():
        raise InputMissingError(where=folder, expected="the folder of a set", found="none", fix="check the path")
    if name != AUTO:
        if name not in LAYOUTS:
            names = ", ".join((*LAYOUTS, AUTO))
            raise ConfigError(where="--layout", expected=f"one of {names}", found=name, fix="see pectl layouts")
        return LAYOUTS[name], "named by --layout"
    reasons = {layout.name: reason for layout in LAYOUTS.values() if (reason := layout.recognise(folder))}
    if "augmented-rspect" in reasons:
        reasons.pop("rspect", None)  # boxes beside RSPECT itself
    if len(reasons) != 1:
        found = ", ".join(f"{other} ({why})" for other, why in reasons.items()) or "no files that only one set has"
        raise ConfigError(
            where=folder, expected="files of one set", found=found, fix="give its top folder, or name it with --layout"
        )
    [(found, reason)] = reasons.items()
    return LAYOUTS[found], reason


def read_set(layout: Layout, folder: Path) -> SetContents:
    """Return what a folder of the set holds.

    Raises:
        ConfigError: no image is where the set has them.
        InputMissingError, LabelsError: a table isn't there, or is another.
    """
    contents = layout.read(folder)
    if not contents.images:
        raise ConfigError(
            where=folder, expected=f"images as {layout.title} has them", found="none", fix="give its top folder"
        )
    return contents
