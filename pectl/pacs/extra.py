"""The extra that speaks to a PACS."""

from importlib.util import find_spec

from pectl.errors import PacsError

_PACKAGES = ("pynetdicom", "requests", "highdicom")


def check_extra() -> None:
    """Check that what speaks DICOM over a network, and what writes DICOM objects, is installed.

    Raises:
        PacsError: a package isn't.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise PacsError(
            where="pectl listen",
            expected=f"the packages {', '.join(_PACKAGES)}",
            found=f"no {missing[0]}",
            fix="pip install 'pectl[listen]'",
        )
