"""A model on disk: `model.safetensors` beside `model.json`, which holds the spec that builds it and its digest."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier, Stage2Spec
from pectl.core.storage.files import atomic_path, file_digest, read_json, system_fault, write_json
from pectl.errors import StoreError

Model = WindowEncoder | SequenceClassifier
M = TypeVar("M", bound=nn.Module)
S = TypeVar("S")


def save_model(model: Model, folder: Path) -> str:
    """Write the model into a folder and return the SHA-256 of its weights file."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_path(folder / "model.safetensors") as temporary:
        save_file(tensors, temporary)
    digest = weights_digest(folder)
    kind = "stage1" if isinstance(model, WindowEncoder) else "stage2"
    write_json(folder / "model.json", {"kind": kind, "spec": asdict(model.spec), "digest": digest})
    return digest


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights file, as 64 hex digits."""
    return file_digest(folder / "model.safetensors")


def load_stage1(folder: Path) -> WindowEncoder:
    """Load a window encoder, ready to infer. Never downloads.

    Raises:
        StoreError: no checkpoint, one of another kind, or a damaged one.
    """
    spec = _spec(folder, "stage1", Stage1Spec, made_by="pectl train-stage1")
    return _fill(WindowEncoder(spec), folder, made_by="pectl train-stage1")


def load_stage2(folder: Path) -> SequenceClassifier:
    """Load a sequence classifier, ready to infer.

    Raises:
        StoreError: no checkpoint, one of another kind, or a damaged one.
    """
    spec = _spec(folder, "stage2", Stage2Spec, made_by="pectl train-stage2")
    return _fill(SequenceClassifier(spec), folder, made_by="pectl train-stage2")


def _spec(folder: Path, kind: str, build: Callable[..., S], *, made_by: str) -> S:
    data = read_json(folder / "model.json", made_by=made_by)
    if data.get("kind") != kind:
        raise StoreError(
            where=folder,
            expected=f"a {kind} model",
            found=str(data.get("kind")),
            fix=f"give a run of {made_by}",
        )
    try:
        return build(**data["spec"])
    except (KeyError, TypeError) as error:
        raise StoreError(
            where=folder / "model.json",
            expected="the key 'spec' with what the model needs",
            found=f"a damaged file ({error})",
            fix=f"run {made_by} again",
        ) from error


def _fill(model: M, folder: Path, *, made_by: str) -> M:
    path = folder / "model.safetensors"
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, OSError, RuntimeError) as error:
        found, fix = system_fault(error) or (str(error).splitlines()[0], f"run {made_by} again")
        raise StoreError(where=path, expected="the weights that model.json describes", found=found, fix=fix) from error
    return model.eval()
