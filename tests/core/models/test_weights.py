from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import video

from pectl.config import Config, WindowsConfig, write_config
from pectl.core.models.checkpoint import save_model, weights_digest
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.models.weights import Pretrained, load_pretrained
from pectl.errors import WeightsError
from tests.stage2_specs import stage2_spec


def encoder(backbone: str = "slim_16", *, channels: int = 3, seed: int = 0) -> WindowEncoder:
    torch.manual_seed(seed)
    return WindowEncoder(Stage1Spec(backbone=backbone, in_channels=channels, slice_supervision=False)).eval()


def load(model: WindowEncoder, weights: object) -> Pretrained | None:
    return load_pretrained(model, str(weights), WindowsConfig())


@torch.inference_mode()
def test_none_leaves_the_start_alone() -> None:
    model = encoder()
    load(model, "none")
    assert all(torch.equal(v, encoder().state_dict()[k]) for k, v in model.state_dict().items())


@torch.inference_mode()
def test_pth_and_safetensors_give_equal_answers(tmp_path: Path) -> None:
    source = encoder(seed=1)
    state = {name: value.clone() for name, value in source.state_dict().items()}
    torch.save(state, tmp_path / "weights.pth")
    save_file(state, tmp_path / "weights.safetensors")
    x = torch.rand(1, 3, 10, 32, 32)
    for name in ("weights.pth", "weights.safetensors"):
        model = encoder(seed=2)
        load(model, str(tmp_path / name))
        assert torch.equal(model(x).window, source(x).window)


@torch.inference_mode()
def test_bare_torchvision_backbone_loads_without_its_classifier(tmp_path: Path) -> None:
    torch.manual_seed(3)
    theirs = video.r3d_18().eval()
    torch.save(theirs.state_dict(), tmp_path / "r3d_18.pth")
    model = encoder("r3d_18")
    load(model, str(tmp_path / "r3d_18.pth"))
    x = torch.rand(1, 3, 10, 32, 32)
    torch.testing.assert_close(theirs.fc(model.forward_features(x).pooled), theirs(x), rtol=1e-4, atol=1e-5)


def test_stem_of_three_channels_is_averaged_for_one(tmp_path: Path) -> None:
    source = encoder(seed=1)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    model = encoder(channels=1)
    load(model, str(tmp_path / "w.pth"))
    wanted = source.backbone.stem[0].weight.mean(dim=1, keepdim=True)
    torch.testing.assert_close(model.backbone.stem[0].weight, wanted)


def test_mismatch_names_all(tmp_path: Path) -> None:
    state = dict(encoder().state_dict())
    del state["head.bias"]
    state["extra"] = torch.zeros(1)
    state["head.weight"] = torch.zeros(1, 7)
    torch.save(state, tmp_path / "w.pth")
    model = encoder()
    with pytest.raises(WeightsError) as error:
        load(model, str(tmp_path / "w.pth"))
    assert (
        "expected weights of WindowEncoder, found 3 mismatches: missing head.bias; unknown extra; "
        "head.weight is (1, 7), not (1, 128); choose the backbone they were made for"
    ) in str(error.value)
    assert torch.equal(model.head.weight, encoder().head.weight)


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path(EVIL_MARK),))


EVIL_MARK = "evil-was-here"


def test_pickle_with_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"backbone.x": _Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth: expected a \.safetensors file, or a \.pth file that holds"):
        load(encoder(), str(tmp_path / "evil.pth"))
    assert not Path(EVIL_MARK).exists()


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"epoch": 3}, {"model": {"x": torch.zeros(1)}}])
def test_something_else_than_a_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth: expected a state_dict"):
        load(encoder(), str(tmp_path / "w.pth"))


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="found a file that can't be read safely"):
        load(encoder(), str(tmp_path / "w.safetensors"))
    with pytest.raises(
        WeightsError, match="expected none, kinetics400, or the path of a run or a weights file, found no file"
    ):
        load(encoder(), "kinetics")


def test_kinetics_without_network_says_how_to_bring_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(video.R3D_18_Weights, "get_state_dict", refuse)
    with pytest.raises(WeightsError) as error:
        load(encoder("r3d_18"), "kinetics400")
    text = str(error.value)
    assert "https://download.pytorch.org/models/r3d_18-b3b3357e.pth" in text
    assert "SHA-256 begins b3b3357e" in text
    assert f"copy it to {tmp_path}/hub/checkpoints" in text
    assert "no route to host" in text


def test_kinetics_for_a_backbone_without() -> None:
    with pytest.raises(WeightsError, match="expected a backbone that has Kinetics-400 weights, found slim_16"):
        load(encoder(), "kinetics400")


ALL_HEADS = Stage1Spec(backbone="slim_16", in_channels=3, slice_supervision=True, multitask=True)


def run_of(folder: Path, model: WindowEncoder, **windows: object) -> Path:
    """Write what a finished run of train-stage1 leaves behind."""
    save_model(model, folder / "checkpoints" / "best")
    write_config(Config(windows=WindowsConfig(**windows)), folder / "config.toml")
    (folder / "splits.csv").write_text("StudyInstanceUID,split\n1.2,train\n")
    (folder / "run.json").write_text("{}")
    return folder


@torch.inference_mode()
def test_a_run_its_checkpoint_and_its_file_are_the_same_weights(tmp_path: Path) -> None:
    source = encoder(seed=1)
    run = run_of(tmp_path / "run", source)
    best = run / "checkpoints" / "best"
    x = torch.rand(1, 3, 10, 32, 32)
    for path in (run, best, best / "model.safetensors"):
        model = encoder(seed=2)
        loaded = load(model, path)
        assert torch.equal(model(x).window, source(x).window)
        assert (loaded.weights, loaded.run) == (str(path), run)
        assert loaded.digest == weights_digest(best)
        assert loaded.begun_anew == loaded.left_out == ()


@torch.inference_mode()
def test_heads_that_weights_lack_begin_anew_and_those_too_many_are_left_out(tmp_path: Path) -> None:
    plain, rich = encoder(seed=1), WindowEncoder(ALL_HEADS).eval()
    save_model(plain, tmp_path / "plain")
    save_model(rich, tmp_path / "rich")
    target = WindowEncoder(ALL_HEADS).eval()
    fresh = {name: value.clone() for name, value in target.state_dict().items()}
    loaded = load(target, tmp_path / "plain")
    assert (loaded.begun_anew, loaded.left_out) == (("slice_head", "multitask_head"), ())
    for name, value in target.state_dict().items():
        kept = name.startswith(("slice_head", "multitask_head"))
        assert torch.equal(value, fresh[name] if kept else plain.state_dict()[name])
    loaded = load(plain, tmp_path / "rich")
    assert (loaded.begun_anew, loaded.left_out) == ((), ("slice_head", "multitask_head"))
    assert all(torch.equal(value, rich.state_dict()[name]) for name, value in plain.state_dict().items())


def test_a_head_for_other_labels_begins_anew(tmp_path: Path) -> None:
    """As that of a run from before age was read where the clots are."""
    before = WindowEncoder(ALL_HEADS).eval()
    save_model(before, tmp_path / "before")
    target = WindowEncoder(replace(ALL_HEADS, at_clots=True)).eval()
    fresh = target.multitask_head.weight.clone()
    assert load(target, tmp_path / "before").begun_anew == ("multitask_head", "age_head")
    assert torch.equal(target.multitask_head.weight, fresh)
    assert torch.equal(target.head.weight, before.head.weight)


def test_a_bare_backbone_leaves_all_heads_anew(tmp_path: Path) -> None:
    torch.save(encoder(seed=1).backbone.state_dict(), tmp_path / "w.pth")
    model = WindowEncoder(ALL_HEADS)
    loaded = load(model, tmp_path / "w.pth")
    assert loaded.begun_anew == ("head", "slice_head", "multitask_head")
    assert loaded.run is None


def test_what_a_run_was_made_with_is_compared_and_all_differences_named(tmp_path: Path) -> None:
    group = Stage1Spec(backbone="slim_32", in_channels=1, slice_supervision=False, norm="group")
    run = run_of(tmp_path / "run", WindowEncoder(group), hu_ranges={"pe": (-250.0, 450.0)}, hu_scaling="per-slice")
    with pytest.raises(WeightsError) as error:
        load(encoder(), run)
    assert str(error.value) == (
        f"{run}: expected weights of stage1.backbone = slim_16, stage1.norm = batch, input channels = 3, "
        "windows.hu_ranges = [(-1350.0, 150.0), (-250.0, 450.0), (-160.0, 240.0)], windows.hu_scaling = fixed, "
        "found stage1.backbone = slim_32, stage1.norm = group, input channels = 1, "
        "windows.hu_ranges = [(-250.0, 450.0)], windows.hu_scaling = per-slice; "
        "configure what they were made with, or choose other weights"
    )


def test_batch_norm_weights_for_group_norm_are_refused_whatever_file_they_are_in(tmp_path: Path) -> None:
    torch.save(encoder().state_dict(), tmp_path / "w.pth")
    model = WindowEncoder(Stage1Spec(backbone="slim_16", in_channels=3, slice_supervision=False, norm="group"))
    with pytest.raises(
        WeightsError, match=r"expected weights of stage1\.norm = group, found stage1\.norm = batch; conf"
    ):
        load(model, tmp_path / "w.pth")


def test_a_run_that_has_not_ended_or_is_none_or_of_stage_2(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", encoder())
    (run / "run.json").unlink()
    with pytest.raises(
        WeightsError, match=r"a weights file, found .*run, a run that has not ended; check the path, or let"
    ):
        load(encoder(), run)
    with pytest.raises(WeightsError, match=r"the folder of a finished run of pectl train-stage1, .* which is no run"):
        load(encoder(), tmp_path)
    save_model(SequenceClassifier(stage2_spec()), tmp_path / "stage2")
    with pytest.raises(
        WeightsError, match="stage2: expected a stage1 model, found stage2; give a run of pectl train-stage1"
    ):
        load(encoder(), tmp_path / "stage2")
