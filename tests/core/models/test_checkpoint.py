import hashlib
import json
from pathlib import Path

import pytest
import torch

from pectl.core.models.checkpoint import load_stage1, load_stage2, save_model, weights_digest
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier
from pectl.errors import StoreError
from tests.stage2_specs import stage2_spec

SPEC1 = Stage1Spec(backbone="slim_16", in_channels=2, slice_supervision=True)
SPEC1_ALL = Stage1Spec(backbone="slim_16", in_channels=2, slice_supervision=True, multitask=True, norm="group")
SPEC2 = stage2_spec(model="gru", feature_size=4, hidden=3, dropout=0.1)


@pytest.mark.parametrize("spec", [SPEC1, SPEC1_ALL])
@torch.inference_mode()
def test_stage1_comes_back_as_it_was(tmp_path: Path, spec: Stage1Spec) -> None:
    model = WindowEncoder(spec).to(memory_format=torch.channels_last_3d).eval()
    digest = save_model(model, tmp_path)
    again = load_stage1(tmp_path)
    assert again.spec == spec
    assert not again.training
    x = torch.rand(1, 2, 10, 32, 32)
    torch.testing.assert_close(again(x).window, model(x).window)
    assert all(torch.equal(again.state_dict()[name], value) for name, value in model.state_dict().items())
    assert digest == weights_digest(tmp_path)
    assert digest == hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert json.loads((tmp_path / "model.json").read_text())["digest"] == digest


def test_same_weights_same_digest(tmp_path: Path) -> None:
    model = SequenceClassifier(SPEC2)
    assert save_model(model, tmp_path / "a") == save_model(model, tmp_path / "b")


@torch.inference_mode()
def test_stage2_comes_back_with_its_standardisation(tmp_path: Path) -> None:
    model = SequenceClassifier(SPEC2)
    model.standardise(torch.randn(30, 4) * 5 + 2)
    save_model(model.eval(), tmp_path)
    batch = (torch.randn(1, 6, 4), torch.randn(1, 6), torch.zeros(1, 6, 2), torch.ones(1, 6, dtype=torch.bool))
    assert torch.equal(load_stage2(tmp_path)(*batch).exam, model(*batch).exam)


def test_other_kind_is_refused(tmp_path: Path) -> None:
    save_model(SequenceClassifier(SPEC2), tmp_path)
    with pytest.raises(StoreError, match="expected a stage1 model, found stage2; give a run of pectl train-stage1"):
        load_stage1(tmp_path)
    save_model(WindowEncoder(SPEC1), tmp_path)
    with pytest.raises(StoreError, match="expected a stage2 model, found stage1; give a run of pectl train-stage2"):
        load_stage2(tmp_path)


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected a file that pectl train-stage1 writes, found No such file"):
        load_stage1(tmp_path)


def test_truncated_weights_are_named(tmp_path: Path) -> None:
    save_model(WindowEncoder(SPEC1), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(StoreError, match=r"model\.safetensors: expected the weights that model\.json describes"):
        load_stage1(tmp_path)


def test_weights_of_another_spec_are_refused(tmp_path: Path) -> None:
    save_model(WindowEncoder(SPEC1), tmp_path)
    described = json.loads((tmp_path / "model.json").read_text())
    described["spec"]["backbone"] = "slim_32"
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(StoreError, match=r"expected the weights that model\.json describes"):
        load_stage1(tmp_path)


@pytest.mark.parametrize("spec", [None, {"backbone": "slim_16"}, {"nonsense": 1}])
def test_damaged_description_is_refused(tmp_path: Path, spec: object) -> None:
    save_model(WindowEncoder(SPEC1), tmp_path)
    described = {"kind": "stage1"} | ({} if spec is None else {"spec": spec})
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(StoreError, match=r"model\.json"):
        load_stage1(tmp_path)


def test_a_checkpoint_from_before_multitask_heads_and_group_norm_has_neither(tmp_path: Path) -> None:
    save_model(WindowEncoder(SPEC1), tmp_path)
    described = json.loads((tmp_path / "model.json").read_text())
    del described["spec"]["multitask"], described["spec"]["norm"]
    (tmp_path / "model.json").write_text(json.dumps(described))
    assert load_stage1(tmp_path).spec == SPEC1
