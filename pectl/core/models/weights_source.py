"""Where pretrained weights come from, and what is known of how they were made."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor

from pectl.config import load_config
from pectl.core.models.stage1 import backbone_named
from pectl.core.storage.files import file_digest, read_json, system_fault
from pectl.errors import WeightsError

MADE_BY = "pectl train-stage1"

_SPEC_KEYS = {"backbone": "stage1.backbone", "norm": "stage1.norm", "in_channels": "input channels"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Weights by name, as they were saved.

    Attributes:
        where: names them in an error.
        run: the training of ours that made them, if it is known.
        origin: what is known of how they were made: values by the key of the configuration.
        digest: SHA-256 of their file.
    """

    where: str
    state: dict[str, Tensor]
    run: Path | None = None
    origin: dict[str, object] = field(default_factory=dict)
    digest: str | None = None


def kinetics400(backbone: str) -> Source:
    """Fetch Kinetics-400 weights through torchvision's own loader and cache, with its hash check.

    Raises:
        WeightsError: the backbone has none, or they can't be fetched; the message says how to bring them.
    """
    name = backbone_named(backbone).kinetics400
    if name is None:
        raise WeightsError(
            where="stage1.weights",
            expected="a backbone that has Kinetics-400 weights",
            found=backbone,
            fix="choose r3d_18, mc3_18 or r2plus1d_18, or weights = 'none'",
        )
    from torchvision.models import video  # takes as long to import as torch; only Kinetics' weights need it

    entry = getattr(video, name).KINETICS400_V1
    cache = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rsplit("/", 1)[-1]
    try:
        state: dict[str, Tensor] = entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            where=f"stage1.weights = kinetics400 ({backbone})",
            expected=f"{entry.url} or its copy at {cache}",
            found=f"neither could be read ({error})",
            fix=f"on a machine with a network download that file (SHA-256 begins {_hash_prefix(cache.name)}), "
            f"copy it to {cache.parent}, or give its path as stage1.weights, or use weights = 'none'",
        ) from error
    return Source(where="kinetics400", state=state)


def _hash_prefix(file_name: str) -> str:
    """Torchvision's file names end in the first digits of the file's SHA-256: r3d_18-b3b3357e.pth."""
    return file_name.rsplit("-", 1)[-1].split(".")[0]


def read_weights(path: Path) -> Source:
    """Read a file, or the best epoch of a finished run.

    Raises:
        WeightsError: neither is there, or the file is damaged, unsafe, or of something else.
    """
    file = _file_of(path)
    state = _read(file)
    run = file.parents[2] if len(file.parents) > 2 and (file.parents[2] / "splits.csv").is_file() else None
    return Source(where=str(path), state=state, run=run, origin=_origin(file, run, state), digest=file_digest(file))


def _file_of(path: Path) -> Path:
    """Return the weights file that a path means."""
    if not path.is_dir():
        return path
    if (path / "model.safetensors").is_file():
        return path / "model.safetensors"
    best = path / "checkpoints" / "best" / "model.safetensors"
    if not (path / "run.json").is_file():
        raise WeightsError(
            where="stage1.weights",
            expected=f"the folder of a finished run of {MADE_BY}, or a weights file",
            found=f"{path}, {'a run that has not ended' if best.is_file() else 'which is no run'}",
            fix="check the path, or let the run end (--resume)",
        )
    return best


def _origin(file: Path, run: Path | None, state: dict[str, Tensor]) -> dict[str, object]:
    """Return what is known of how weights were made."""
    origin: dict[str, object] = {}
    if any(name.endswith("running_mean") for name in state):
        origin["stage1.norm"] = "batch"
    if (described := file.parent / "model.json").is_file():
        made = read_json(described, made_by=MADE_BY)
        if made.get("kind") != "stage1":
            raise WeightsError(
                where=file.parent,
                expected="a stage1 model",
                found=str(made.get("kind")),
                fix=f"give a run of {MADE_BY}",
            )
        spec = {"norm": "batch"} | made.get("spec", {})
        origin |= {key: spec[name] for name, key in _SPEC_KEYS.items() if name in spec}
    if run is not None:
        windows = load_config(run / "config.toml", []).windows
        origin |= {"windows.hu_ranges": list(windows.hu_ranges.values()), "windows.hu_scaling": windows.hu_scaling}
    return origin


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(
            where="stage1.weights",
            expected="none, kinetics400, or the path of a run or a weights file",
            found=f"no file {path}",
            fix="check the path; it is relative to the folder the command runs in",
        )
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state: object = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for a damaged or unsafe file
        found, fix = system_fault(error) or (
            f"a file that can't be read safely ({type(error).__name__})",
            "save the state_dict alone",
        )
        raise WeightsError(
            where=path, expected="a .safetensors file, or a .pth file that holds tensors only", found=found, fix=fix
        ) from error
    if not (isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values())):
        raise WeightsError(
            where=path,
            expected="a state_dict, from names to tensors",
            found="something else",
            fix="save the state_dict alone",
        )
    return state
