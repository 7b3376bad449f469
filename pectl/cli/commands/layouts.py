"""`pectl layouts`."""

from pectl.cli.console import say


def layouts() -> None:
    """List the public CTPA sets that preprocess --layout reads as they lie on disk."""
    from pectl.core.layouts.known import LAYOUTS, TESTED

    for layout in LAYOUTS.values():
        say(f"{layout.name}: {layout.title}")
        say(f"  from:     {layout.source}")
        say(f"  licence:  {layout.licence}")
        say(f"  gives:    {layout.gives}")
        for number, trap in enumerate(layout.traps):
            say(f"  {'' if number else 'traps:':<9} {trap}")
    say(TESTED)
