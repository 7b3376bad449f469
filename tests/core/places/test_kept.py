"""What a store keeps of where emboli lie."""

import numpy as np
import pytest

from pectl.config import PlacesConfig
from pectl.core.places.digest import places_digest
from pectl.core.places.emboli import EmbolusSizes
from pectl.core.places.kept import KeptPlaces, emboli_table, places_path, write_places
from pectl.core.places.source import PlacesSource
from pectl.core.places.truth import TruthFolder, embolus_volumes_ml, read_truth
from pectl.errors import InputMissingError, StoreError


@pytest.fixture
def kept():
    """Two emboli of which the first touches the second; a third lies outside the box."""
    number = np.zeros((3, 4, 4), np.uint16)
    number[0, 1, 1], number[1, 1, 1] = 1, 2
    sizes = EmbolusSizes(
        volume_mm3=np.array([400.0, 50.0, 50.0]),
        thickest_mm=np.array([6.20004, 2.0, 2.0]),
        n_slices=np.array([5, 1, 1]),
    )
    return KeptPlaces(
        number=number,
        affine=np.diag([1.0, 2.0, 3.0, 1.0]),
        spacing_mm=(1.0, 2.0, 3.0),
        sizes=sizes,
        in_box=np.array([True, True, False]),
        boxes=False,
    )


@pytest.fixture
def store(tmp_path, kept):
    write_places(places_path(tmp_path, "1.1"), kept)
    (tmp_path / "store.json").write_text("{}")
    return tmp_path


def test_truth_comes_back_with_numbers_and_volumes(store):
    truth = read_truth(store / "places" / "1.1.h5")
    assert (truth.number.dtype, truth.artery, truth.lung) == (np.uint8, None, None)
    assert truth.numbered()[1, 1, 1] == 2
    assert truth.embolus.sum() == 2
    assert truth.volume_ml == 0.5  # as measured on the original images, not 2 voxels of 6 mm3
    np.testing.assert_array_equal(truth.affine, np.diag([1.0, 2.0, 3.0, 1.0]))


@pytest.mark.parametrize("name", ["", "places"])
def test_a_store_may_lack_the_truth_of_a_study(store, name):
    folder = TruthFolder.open(store / name)
    assert (folder.path, folder.of_store) == (store / "places", True)
    assert folder.read("1.2") is None
    sizes = embolus_volumes_ml(store / name, ["1.1", "1.2"])
    assert sizes["1.1"] == 0.5
    assert np.isnan(sizes["1.2"])


def test_a_store_without_places_has_no_truth(tmp_path):
    (tmp_path / "store.json").write_text("{}")
    with pytest.raises(InputMissingError, match="places: expected a folder of truth, found no such folder"):
        TruthFolder.open(tmp_path)


def test_a_phantom_cohort_is_its_truth(tmp_path):
    (tmp_path / "truth").mkdir()
    assert TruthFolder.open(tmp_path) == TruthFolder(tmp_path / "truth", of_store=False)


def test_the_table_of_all_emboli(store):
    table = emboli_table(store, ["1.1", "1.2"])
    assert table.to_csv(index=False).splitlines() == [
        "StudyInstanceUID,embolus,volume_mm3,thickest_mm,n_slices,in_box,marked_as",
        "1.1,1,400.0,6.2,5,1,mask",
        "1.1,2,50.0,2.0,1,1,mask",
        "1.1,3,50.0,2.0,1,0,mask",
    ]


def test_a_damaged_file_is_named(store):
    (store / "places" / "1.1.h5").write_bytes(b"PK")
    with pytest.raises(StoreError, match=r"1\.1\.h5: expected a whole HDF5 file"):
        emboli_table(store, ["1.1"])


def test_the_digest_is_of_the_content_and_of_the_smallest_area(tmp_path):
    for name, content in (("a", b"mask"), ("b", b"mask"), ("c", b"other")):
        (tmp_path / name).write_bytes(content)

    def of(name, area=4.0, **more):
        return places_digest({"1.1": PlacesSource("volume", tmp_path / name, **more)}, PlacesConfig(min_area_mm2=area))

    assert of("a") == of("b")
    assert len({of("a"), of("c"), of("a", numbered=True), of("a", 1.0)}) == 4
    assert places_digest({}, PlacesConfig()) == "none"
    with pytest.raises(InputMissingError, match=r"d: expected a file of masks or boxes, found no such file"):
        of("d")


def test_masks_that_nothing_installed_reads_are_told_before_any_study(tmp_path, monkeypatch):
    monkeypatch.setattr("pectl.core.volumes.formats.find_spec", lambda name: None)
    (tmp_path / "01GE.nii.gz").write_bytes(b"mask")
    places = {"1.1": PlacesSource("slice-index", tmp_path / "01GE.nii.gz")}
    message = (
        r"NIfTI files \(\.nii\.gz\): expected the packages nibabel and isal, found not installed; pip install 'pectl"
    )
    with pytest.raises(InputMissingError, match=message):
        places_digest(places, PlacesConfig())
