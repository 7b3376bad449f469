"""`pectl layouts`."""

from typing import TYPE_CHECKING, Annotated

import typer

from pectl.cli.console import say

if TYPE_CHECKING:
    from pectl.core.layouts.layout import Layout


def layouts(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the public CTPA sets that preprocess --layout reads as they lie on disk."""
    import json

    from pectl.core.layouts.known import LAYOUTS, TESTED
    from pectl.core.storage.stamp import RESEARCH_USE

    if as_json:
        sets = [layout.to_json() for layout in LAYOUTS.values()]
        say(json.dumps({"use": RESEARCH_USE, "tested": TESTED, "layouts": sets}, indent=2))
        return
    for layout in LAYOUTS.values():
        _show(layout)
    say(TESTED)


def _show(layout: "Layout") -> None:
    say(f"{layout.name}: {layout.title}")
    say(f"  from:     {layout.source}")
    say(f"  licence:  {layout.licence}")
    say(f"  gives:    {layout.gives}")
    for number, trap in enumerate(layout.traps):
        say(f"  {'' if number else 'traps:':<9} {trap}")
