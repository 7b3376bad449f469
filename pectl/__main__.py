"""`python -m pectl` is `pectl`."""

import sys
from importlib.metadata import version

try:
    version("pectl")
    from pectl.cli.app import main
except ModuleNotFoundError as error:  # of this package's metadata, or of a package that it needs
    sys.exit(f"pectl: expected an installed package, found no {error.name}; run make setup, then .venv/bin/pectl")

main()
