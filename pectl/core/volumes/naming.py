"""The study that a volume file is: its file's name made safe, or its folder's where every file is called the same."""

import hashlib
import re
from pathlib import Path

from pectl.core.volumes.formats import suffix_of

_LONGEST = 64
_UNSAFE = re.compile(r"[^0-9A-Za-z]+")
_CALLED_ALIKE = frozenset(("image", "images", "img", "ct", "cta", "ctpa", "scan", "volume", "vol", "data", "imaging"))
"""Names that say nothing: the folder has the study's."""


def study_id(path: Path) -> str:
    """Return the id of the study in a volume file: letters and digits, with dots for what stood between them.

    Example:
        >>> study_id(Path("CTPA/PE452890e.nii.gz")), study_id(Path("train/PA000005/image.nii.gz"))
        ('PE452890e', 'PA000005')
        >>> study_id(Path("lung_0001-a.nrrd"))
        'lung.0001.a'
    """
    stem = path.name[: len(path.name) - len(suffix_of(path))]
    name = path.absolute().parent.name if stem.lower() in _CALLED_ALIKE else stem
    safe = _UNSAFE.sub(".", name).strip(".")
    mark = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:8]
    if not safe:
        return f"volume.{mark}"
    return safe if len(safe) <= _LONGEST else f"{safe[: _LONGEST - 9]}.{mark}"
