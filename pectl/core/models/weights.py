"""Pretrained weights for a window encoder's backbone: none, Kinetics-400, or a local file."""

from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pectl.core.models.stage1 import WindowEncoder, backbone_named
from pectl.errors import WeightsError


def load_pretrained(encoder: WindowEncoder, weights: str) -> None:
    """Fill the encoder from `weights`: `none`, `kinetics400`, or the path of a .safetensors or .pth file.

    A file may hold a whole encoder of ours or a bare torchvision backbone, whose classifier is left out.

    Raises:
        WeightsError: the file isn't there, can't be fetched or read, or doesn't fit; all mismatches are named.
    """
    if weights == "none":
        return
    state = _kinetics400(encoder.spec.backbone) if weights == "kinetics400" else _read(Path(weights))
    module: nn.Module = encoder
    if not any(name.startswith("backbone.") for name in state):
        module = encoder.backbone
        state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    _fit_stem(module, state)
    _check(module, state, weights)
    module.load_state_dict(state)


def _kinetics400(name: str) -> dict[str, Tensor]:
    """Fetch through torchvision's own loader and cache, with its hash check."""
    entry = backbone_named(name).kinetics400
    if entry is None:
        raise WeightsError(
            where="stage1.weights", expected="a backbone that has Kinetics-400 weights", found=name,
            fix="choose r3d_18, mc3_18 or r2plus1d_18, or weights = 'none'",
        )  # fmt: skip
    cache = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rsplit("/", 1)[-1]
    try:
        state: dict[str, Tensor] = entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            where=f"stage1.weights = kinetics400 ({name})", expected=f"{entry.url} or its copy at {cache}",
            found=f"neither could be read ({error})",
            fix=f"on a machine with a network download that file (SHA-256 begins {_hash_prefix(cache.name)}), "
            f"copy it to {cache.parent}, or give its path as stage1.weights, or use weights = 'none'",
        ) from error  # fmt: skip
    return state


def _hash_prefix(file_name: str) -> str:
    """Torchvision's file names end in the first digits of the file's SHA-256: r3d_18-b3b3357e.pth."""
    return file_name.rsplit("-", 1)[-1].split(".")[0]


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(
            where="stage1.weights", expected="none, kinetics400 or the path of a weights file", found=f"no file {path}",
            fix="check the path; it is relative to the folder the command runs in",
        )  # fmt: skip
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state: object = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for a damaged or unsafe file
        raise WeightsError(
            where=path, expected="a .safetensors file, or a .pth file that holds tensors only",
            found=f"a file that can't be read safely ({type(error).__name__})", fix="save the state_dict alone",
        ) from error  # fmt: skip
    if not (isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values())):
        raise WeightsError(
            where=path, expected="a state_dict, from names to tensors", found="something else",
            fix="save the state_dict alone",
        )  # fmt: skip
    return state


def _fit_stem(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Average the first convolution over its input channels where the model has another number of them."""
    for name, value in module.state_dict().items():
        if name.endswith("stem.0.weight") and name in state and state[name].shape[1] != value.shape[1]:
            state[name] = state[name].mean(dim=1, keepdim=True).expand_as(value).contiguous()


def _check(module: nn.Module, state: dict[str, Tensor], where: str) -> None:
    """Name every missing, unknown and misshapen tensor in one error."""
    own = module.state_dict()
    faults = [f"missing {name}" for name in own if name not in state]
    faults += [f"unknown {name}" for name in state if name not in own]
    faults += [
        f"{name} is {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if faults:
        raise WeightsError(
            where=where, expected=f"weights of {type(module).__name__}",
            found=f"{len(faults)} mismatches: {'; '.join(faults[:20])}", fix="choose the backbone they were made for",
        )  # fmt: skip
