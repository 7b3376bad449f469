"""How Sphinx builds these pages: `make docs`. Every warning is an error, so no link and no page can be missing."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "pectl"
author = "The pectl developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "command_reference", "layout_reference"]
myst_heading_anchors = 3
default_role = "code"  # docstrings write code in single backticks
napoleon_attr_annotations = False  # the text says shapes and types
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types in signatures, most of other projects: nothing is fetched to link them
smartquotes = False  # two hyphens in text are an option
html_theme = "furo"
html_title = "pectl"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]
