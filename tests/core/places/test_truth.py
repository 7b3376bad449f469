import numpy as np
import pytest

from pectl.core.places.truth import embolus_volumes_ml
from pectl.errors import InputMissingError


def _write(folder, uid, voxels):
    embolus = np.zeros((4, 10, 10), bool)
    embolus.ravel()[:voxels] = True
    masks = {"embolus": embolus, "artery": embolus, "lung": embolus}
    np.savez_compressed(folder / f"{uid}.npz", **masks, affine=np.eye(4), spacing_mm=np.array([2.5, 2.0, 1.0]))


def test_volume_is_voxels_times_spacing_and_unknown_without_emboli(tmp_path):
    _write(tmp_path, "a", 100)
    _write(tmp_path, "b", 0)
    sizes = embolus_volumes_ml(tmp_path, ["a", "b"])
    assert sizes["a"] == pytest.approx(0.5)
    assert np.isnan(sizes["b"])


def test_a_study_without_truth_is_named(tmp_path):
    with pytest.raises(InputMissingError, match=r"c\.npz"):
        embolus_volumes_ml(tmp_path, ["c"])
