from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import video

from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.models.weights import load_pretrained
from pectl.errors import WeightsError


def encoder(backbone: str = "slim_16", *, channels: int = 3, seed: int = 0) -> WindowEncoder:
    torch.manual_seed(seed)
    return WindowEncoder(Stage1Spec(backbone=backbone, in_channels=channels, slice_supervision=False)).eval()


@torch.inference_mode()
def test_none_leaves_the_start_alone() -> None:
    model = encoder()
    load_pretrained(model, "none")
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
        load_pretrained(model, str(tmp_path / name))
        assert torch.equal(model(x).window, source(x).window)


@torch.inference_mode()
def test_bare_torchvision_backbone_loads_without_its_classifier(tmp_path: Path) -> None:
    torch.manual_seed(3)
    theirs = video.r3d_18().eval()
    torch.save(theirs.state_dict(), tmp_path / "r3d_18.pth")
    model = encoder("r3d_18")
    load_pretrained(model, str(tmp_path / "r3d_18.pth"))
    x = torch.rand(1, 3, 10, 32, 32)
    torch.testing.assert_close(theirs.fc(model.forward_features(x).pooled), theirs(x), rtol=1e-4, atol=1e-5)


def test_stem_of_three_channels_is_averaged_for_one(tmp_path: Path) -> None:
    source = encoder(seed=1)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    model = encoder(channels=1)
    load_pretrained(model, str(tmp_path / "w.pth"))
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
        load_pretrained(model, str(tmp_path / "w.pth"))
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
        load_pretrained(encoder(), str(tmp_path / "evil.pth"))
    assert not Path(EVIL_MARK).exists()


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"epoch": 3}, {"model": {"x": torch.zeros(1)}}])
def test_something_else_than_a_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth: expected a state_dict"):
        load_pretrained(encoder(), str(tmp_path / "w.pth"))


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="found a file that can't be read safely"):
        load_pretrained(encoder(), str(tmp_path / "w.safetensors"))
    with pytest.raises(WeightsError, match="expected none, kinetics400 or the path of a weights file, found no file"):
        load_pretrained(encoder(), "kinetics")


def test_kinetics_without_network_says_how_to_bring_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(video.R3D_18_Weights, "get_state_dict", refuse)
    with pytest.raises(WeightsError) as error:
        load_pretrained(encoder("r3d_18"), "kinetics400")
    text = str(error.value)
    assert "https://download.pytorch.org/models/r3d_18-b3b3357e.pth" in text
    assert "SHA-256 begins b3b3357e" in text
    assert f"copy it to {tmp_path}/hub/checkpoints" in text
    assert "no route to host" in text


def test_kinetics_for_a_backbone_without() -> None:
    with pytest.raises(WeightsError, match="expected a backbone that has Kinetics-400 weights, found slim_16"):
        load_pretrained(encoder(), "kinetics400")
