"""A model on disk: `model.safetensors` beside `model.json`, which holds the spec that builds it and its digest."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier, Stage2Spec
from pectl.core.storage.files import atomic_path, file_digest, read_json, system_fault, write_json
from pectl.errors import StoreError

DESCRIPTION, WEIGHTS = "model.json", "model.safetensors"
STAGE1_MADE_BY, STAGE2_MADE_BY = "pectl train-stage1", "pectl train-stage2"
Model = WindowEncoder | SequenceClassifier
M = TypeVar("M", bound=nn.Module)
S = TypeVar("S")


def save_model(model: Model, folder: Path) -> str:
    """Write the model into a folder and return the SHA-256 of its weights file."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(tensors))  # save_file would leave the file readable by its owner alone
    digest = weights_digest(folder)
    kind = "stage1" if isinstance(model, WindowEncoder) else "stage2"
    write_json(folder / DESCRIPTION, {"kind": kind, "spec": asdict(model.spec), "digest": digest})
    return digest


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights file, as 64 hex digits."""
    return file_digest(folder / WEIGHTS)


def load_stage1(folder: Path) -> WindowEncoder:
    """Load a window encoder, ready to infer. Never downloads.

    Raises:
        StoreError: no checkpoint, one of another kind, or a damaged one.
    """
    return build_stage1(_of_folder(folder, made_by=STAGE1_MADE_BY))


def load_stage2(folder: Path) -> SequenceClassifier:
    """Load a sequence classifier, ready to infer.

    Raises:
        StoreError: no checkpoint, one of another kind, or a damaged one.
    """
    return build_stage2(_of_folder(folder, made_by=STAGE2_MADE_BY))


@dataclass(frozen=True)
class StoredModel:
    """What a checkpoint holds, from wherever it was read.

    Attributes:
        where: names it in messages.
        description: the content of `model.json`.
        weights: reads the tensors of `model.safetensors` by name.
    """

    where: str
    description: Mapping[str, Any]
    weights: Callable[[], dict[str, Tensor]]


def build_stage1(stored: StoredModel) -> WindowEncoder:
    """Build a window encoder from its description and weights, ready to infer.

    Raises:
        StoreError: a model of another kind, or a damaged one.
    """
    spec = _spec(stored, "stage1", Stage1Spec, made_by=STAGE1_MADE_BY)
    return _fill(WindowEncoder(spec), stored, made_by=STAGE1_MADE_BY)


def build_stage2(stored: StoredModel) -> SequenceClassifier:
    """Build a sequence classifier from its description and weights, ready to infer.

    Raises:
        StoreError: a model of another kind, or a damaged one.
    """
    spec = _spec(stored, "stage2", Stage2Spec, made_by=STAGE2_MADE_BY)
    return _fill(SequenceClassifier(spec), stored, made_by=STAGE2_MADE_BY)


def _of_folder(folder: Path, *, made_by: str) -> StoredModel:
    path = folder / WEIGHTS
    return StoredModel(str(folder), read_json(folder / DESCRIPTION, made_by=made_by), lambda: load_file(path))


def _spec(stored: StoredModel, kind: str, build: Callable[..., S], *, made_by: str) -> S:
    found = stored.description.get("kind")
    if found != kind:
        raise StoreError(
            where=stored.where, expected=f"a {kind} model", found=str(found), fix=f"give a run of {made_by}"
        )
    try:
        return build(**stored.description["spec"])
    except (KeyError, TypeError) as error:
        raise StoreError(
            where=f"{stored.where}/{DESCRIPTION}",
            expected="the key 'spec' with what the model needs",
            found=f"a damaged file ({error})",
            fix=f"run {made_by} again",
        ) from error


def _fill(model: M, stored: StoredModel, *, made_by: str) -> M:
    try:
        model.load_state_dict(stored.weights())
    except (SafetensorError, OSError, RuntimeError) as error:
        found, fix = system_fault(error) or (str(error).splitlines()[0], f"run {made_by} again")
        where, expected = f"{stored.where}/{WEIGHTS}", f"the weights that {DESCRIPTION} describes"
        raise StoreError(where=where, expected=expected, found=found, fix=fix) from error
    return model.eval()
