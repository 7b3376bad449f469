from pathlib import Path

import pytest

from pectl.core.dicom.headers import is_safe_uid
from pectl.core.volumes.naming import study_id


@pytest.mark.parametrize(
    ("path", "uid"),
    [
        ("CTPA/PE452890e.nii.gz", "PE452890e"),
        ("train/PA000005/image.NII.GZ", "PA000005"),
        ("images/e0032.nrrd", "e0032"),
        ("a/pe_001__001.mha", "pe.001.001"),
        ("a/../..x.npy", "x"),
    ],
)
def test_the_files_name_made_safe(path: str, uid: str) -> None:
    assert study_id(Path(path)) == uid


@pytest.mark.parametrize("name", ["日本.nii", f"{'a' * 80}.nii", "....nii", "-.npy"])
def test_every_id_is_safe_and_differs_from_others(name: str) -> None:
    uid = study_id(Path(name))
    assert is_safe_uid(uid)
    assert uid != study_id(Path(f"b{name}"))
