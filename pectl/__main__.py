"""`python -m pectl` is `pectl`."""

from pectl.cli.app import main

main()
