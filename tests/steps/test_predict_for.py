"""One model for all items, the bundle that is meant, and a stop between items."""

import json

import pytest

from pectl.errors import InputMissingError, Interrupted
from pectl.orchestrators.contract import Item, Orchestrator
from pectl.steps.predict_for import find_bundle, predict_for
from pectl.steps.predict_studies import Wish
from tests.tiny_instrument import tiny_instrument

SMALL = {"n_slices": 34, "size": (64, 64), "pixel_spacing_mm": (6.0, 6.0)}


def test_the_model_is_loaded_once_and_a_stop_keeps_what_is_done(tmp_path, write_series):
    for study in ("1.1", "1.2", "1.3"):
        write_series(tmp_path / study, study=study, **SMALL)
    items = [Item(tmp_path / study, tmp_path / "out", tmp_path / f"{study}.json") for study in ("1.1", "1.2", "1.3")]
    loaded, instrument = [], tiny_instrument()

    class Unloaded:
        model, preprocess = instrument.model, instrument.preprocess

        def load(self):
            loaded.append(1)
            return instrument

    def stop(done, total):
        if done == 2:
            raise Interrupted(where="out", expected="to do all", found="a stop signal", fix="run again")

    with pytest.raises(Interrupted, match="a stop signal"):
        predict_for(Orchestrator(), items, Unloaded(), Wish(device="cpu"), work=tmp_path / "work", progress=stop)
    assert loaded == [1]
    assert [item.result.exists() for item in items] == [True, True, False]
    assert json.loads(items[0].result.read_text()).keys() == {"use", "studies"}


def test_the_bundle_that_is_meant(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.pectl").touch()
    assert find_bundle(tmp_path / "a") == find_bundle(tmp_path / "a" / "one.pectl") == tmp_path / "a" / "one.pectl"
    with pytest.raises(InputMissingError, match=r"expected one bundle .*, found 2 bundles; mount the file there, or"):
        find_bundle(tmp_path)
    with pytest.raises(InputMissingError, match=r"none: expected one bundle .*, found nothing; mount"):
        find_bundle(tmp_path / "none")
