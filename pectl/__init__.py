"""Two-stage classification of pulmonary embolism on CT; research use only, not for diagnosis."""

import sys

# python-gdcm asks for a module that Python 3 doesn't have, and takes any folder of its name for it
sys.modules.setdefault("dl", None)  # type: ignore[arg-type]  # None: no such module
