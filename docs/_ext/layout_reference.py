"""The directive `{layout-reference}`: the public sets that can be read, from the program's own list."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from pectl.core.layouts.known import LAYOUTS
from pectl.core.layouts.layout import Layout


class LayoutReference(SphinxDirective):
    """Puts a section for each set in its place."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        lines = [line for layout in LAYOUTS.values() for line in _section(layout)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _section(layout: Layout) -> list[str]:
    facts = (("from", layout.source), ("licence", layout.licence), ("gives", layout.gives))
    rows = [f"| {name} | {value} |" for name, value in facts]
    return [f"## {layout.title}: `{layout.name}`", "", "| | |", "|---|---|", *rows, "", *_traps(layout), ""]


def _traps(layout: Layout) -> list[str]:
    return [f"- {trap[0].upper()}{trap[1:]}." for trap in layout.traps]


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("layout-reference", LayoutReference)
    return {"parallel_read_safe": True}
