"""pectl: a two-stage classifier of pulmonary embolism on CT. Research use only, not for diagnosis.

    import pectl

    model = pectl.load_bundle("model.pectl")
    prediction = model.predict("folder of one study")

The steps of the chain are functions of `pectl.steps`. Importing pectl itself takes no time: what is asked for brings
its libraries.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pectl.bundle.load import load_bundle
    from pectl.inference.instrument import Instrument
    from pectl.inference.prediction import Answer, ImageAnswer, Prediction

__all__ = ["Answer", "ImageAnswer", "Instrument", "Prediction", "load_bundle"]

# python-gdcm asks for a module that Python 3 doesn't have, and takes any folder of its name for it
sys.modules.setdefault("dl", None)  # type: ignore[arg-type]  # None: no such module

_HOMES = {
    "Answer": "pectl.inference.prediction",
    "ImageAnswer": "pectl.inference.prediction",
    "Instrument": "pectl.inference.instrument",
    "Prediction": "pectl.inference.prediction",
    "load_bundle": "pectl.bundle.load",
}


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pectl' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return what can be asked for."""
    return sorted([*globals(), *__all__])
