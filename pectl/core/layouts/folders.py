"""DICOM folders of a set, one a study, under the set's own names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pydicom

from pectl.core.dicom.headers import is_safe_uid
from pectl.core.dicom.tags import quiet_pydicom
from pectl.core.layouts.layout import Met, met
from pectl.core.layouts.listing import listed


@dataclass(frozen=True)
class Named:
    """Folders whose files say which study they are.

    Attributes:
        study: StudyInstanceUID by the set's name.
        met: folders that can't be told apart.
    """

    study: Mapping[str, str]
    met: tuple[Met, ...]


def name_studies(folders: Mapping[str, Path]) -> Named:
    """Read one header of each folder.

    Args:
        folders: by the set's name of the study.
    """
    uids = {name: uid for name, folder in folders.items() if (uid := _study_of(folder))}
    shared = {name for name, uid in uids.items() if list(uids.values()).count(uid) > 1}
    found = [
        *met("folder_without_dicom", "folders without a DICOM file", set(folders) - set(uids)),
        *met("shared_study_uid", "folders whose files name the same study; their masks aren't used", shared),
    ]
    return Named({name: uid for name, uid in uids.items() if name not in shared}, tuple(found))


def _study_of(folder: Path) -> str:
    return next((uid for path in _files(folder) if (uid := _uid(path))), "")


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in listed(folder, "**/*") if path.is_file())


def _uid(path: Path) -> str:
    try:
        with quiet_pydicom():
            found = str(pydicom.dcmread(path, specific_tags=["StudyInstanceUID"]).get("StudyInstanceUID", ""))
    except (pydicom.errors.InvalidDicomError, OSError, ValueError, KeyError, AttributeError):
        return ""
    return found if is_safe_uid(found) else ""
