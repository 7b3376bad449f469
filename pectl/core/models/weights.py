"""The weights that a window encoder begins with: none, Kinetics-400, another training of ours, or a local file."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pectl.config import WindowsConfig
from pectl.core.models.stage1 import WindowEncoder
from pectl.core.models.weights_source import Source, kinetics400, read_weights
from pectl.errors import WeightsError

HEADS = ("head", "slice_head", "multitask_head", "age_head", "context")
"""Parts that weights may lack, or have beside what is needed; the backbone must fit whole."""


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What an encoder began with.

    Attributes:
        weights: as they were asked for.
        run: the training of ours that made them, if one did.
        digest: SHA-256 of their file; None for Kinetics-400.
        begun_anew: heads that the weights lack.
        left_out: heads of the weights that the encoder lacks.
    """

    weights: str
    run: Path | None
    digest: str | None
    begun_anew: tuple[str, ...]
    left_out: tuple[str, ...]


def load_pretrained(encoder: WindowEncoder, weights: str, windows: WindowsConfig) -> Pretrained | None:
    """Fill the encoder with weights; heads that these lack, or have for other labels, stay as they are.

    Args:
        encoder: to be filled.
        weights: `none`, `kinetics400`, the folder of a finished run of train-stage1 (its best epoch is taken), or the
            path of a .safetensors or .pth file: a whole encoder of ours, or a bare torchvision backbone.
        windows: what the encoder will be shown.

    Returns:
        What was loaded; None for `none`.

    Raises:
        WeightsError: they aren't there, can't be fetched or read, or don't fit; all mismatches are named.
    """
    if weights == "none":
        return None
    source = kinetics400(encoder.spec.backbone) if weights == "kinetics400" else read_weights(Path(weights))
    _check_origin(source, encoder, windows)
    state = _named_as_ours(source.state)
    own = encoder.state_dict()
    _fit_stem(own, state)
    begun_anew = tuple(head for head in HEADS if _has(own, head) and not _asks_the_same(own, state, head))
    left_out = tuple(head for head in HEADS if _has(state, head) and not _has(own, head))
    state = {name: value for name, value in state.items() if name.split(".")[0] not in left_out}
    state |= {name: value for name, value in own.items() if name.split(".")[0] in begun_anew}
    _check(own, state, source.where)
    encoder.load_state_dict(state)
    return Pretrained(weights=weights, run=source.run, digest=source.digest, begun_anew=begun_anew, left_out=left_out)


def _check_origin(source: Source, encoder: WindowEncoder, windows: WindowsConfig) -> None:
    """Compare what is known of the weights' origin with what they are wanted for."""
    spec = encoder.spec
    wanted = {
        "stage1.backbone": spec.backbone,
        "stage1.norm": spec.norm,
        "input channels": spec.in_channels,
        "windows.hu_ranges": list(windows.hu_ranges.values()),
        "windows.hu_scaling": windows.hu_scaling,
    }
    differing = [name for name, value in source.origin.items() if value != wanted[name]]
    if differing:
        raise WeightsError(
            where=source.where,
            expected="weights of " + ", ".join(f"{name} = {wanted[name]}" for name in differing),
            found=", ".join(f"{name} = {source.origin[name]}" for name in differing),
            fix="configure what they were made with, or choose other weights",
        )


def _named_as_ours(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a bare torchvision backbone, whose classifier is left out, under the names of an encoder."""
    if any(name.startswith("backbone.") for name in state):
        return state
    return {f"backbone.{name}": value for name, value in state.items() if not name.startswith("fc.")}


def _asks_the_same(own: dict[str, Tensor], state: dict[str, Tensor], head: str) -> bool:
    """Tell whether a state has a head, and for as many labels."""
    name = f"{head}.weight"  # of a linear layer; the context network has no such
    return _has(state, head) and (name not in own or len(own[name]) == len(state.get(name, own[name])))


def _has(state: dict[str, Tensor], head: str) -> bool:
    return any(name.startswith(f"{head}.") for name in state)


def _fit_stem(own: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    """Average the first convolution over its input channels where the model has another number of them."""
    for name, value in own.items():
        if name.endswith("stem.0.weight") and name in state and state[name].shape[1] != value.shape[1]:
            state[name] = state[name].mean(dim=1, keepdim=True).expand_as(value).contiguous()


def _check(own: dict[str, Tensor], state: dict[str, Tensor], where: str) -> None:
    """Name every missing, unknown and misshapen tensor in one error."""
    faults = [f"missing {name}" for name in own if name not in state]
    faults += [f"unknown {name}" for name in state if name not in own]
    faults += [
        f"{name} is {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if faults:
        raise WeightsError(
            where=where,
            expected="weights of WindowEncoder",
            found=f"{len(faults)} mismatches: {'; '.join(faults[:20])}",
            fix="choose the backbone they were made for",
        )
