"""What the commands that run a network will need, from its layers on torch's meta device: nothing is computed.

Apart from `estimate`, because torch takes seconds to import and `preprocess` doesn't need it.
"""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pectl.config import Config
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.storage.estimate import Estimate, held_bytes

SLICE_BYTES, FEATURE_FILE_BYTES = 60, 8_000
"""Of a study's file in a feature store: for each original slice, and without any."""
AUGMENT_COPIES = 4
"""A batch is held so many times over as float32 on its way from HU to channels."""


def estimate_stage1(config: Config, spec: Stage1Spec, *, gpu: bool) -> Estimate:
    """Estimate the training of a window encoder."""
    stage, windows = config.stage1, config.windows
    model, shape = _encoder(spec), (spec.in_channels, windows.length, stage.input_px, stage.input_px)
    saved = saved_bytes(model, torch.zeros(2, *shape, device="meta")) // 2
    pixels = windows.length * stage.input_px**2
    batch = stage.batch_size * (saved + 4 * pixels * (AUGMENT_COPIES + spec.in_channels))
    read = 3 * stage.batch_size * windows.length * config.preprocess.in_plane_px**2 * 2  # int16, two batches ahead
    return _training(model, batch, read, gpu=gpu)


def estimate_stage2(config: Config, model: SequenceClassifier, *, studies: int, windows: int, gpu: bool) -> Estimate:
    """Estimate the training of a sequence classifier on studies with so many windows in all, held in memory."""
    features = model.spec.feature_size
    rows = config.stage2.batch_size * windows / max(studies, 1)
    members = 10 * config.stage2.levels * config.stage2.hidden * config.stage2.ensemble
    batch = round(rows * 4 * (4 * features + members))
    return _training(model, batch, 3 * windows * features * 4, gpu=gpu)


def estimate_extraction(
    config: Config, spec: Stage1Spec, *, slices: NDArray[np.int64], source: int, gpu: bool
) -> Estimate:
    """Estimate the extraction of features.

    Args:
        config: the experiment, with the windows and the input size of stage 1.
        spec: of the window encoder.
        slices: (n,) of each study that is still to be done.
        source: their original slices, in all.
        gpu: whether the encoder is on a GPU.
    """
    windows, px = config.windows, config.stage1.input_px
    model, batch = _encoder(spec), config.stage1.extract_batch_size
    count = np.maximum(1, -(-(slices - windows.length) // windows.stride) + 1).sum()
    shape = (1, spec.in_channels, 1 if model.slices_apart else windows.length, px, px)
    network = _weights(model) + _pass_bytes(model, shape, batch, length=windows.length, most=int(slices.max(initial=0)))
    study = 2 * int(slices.max(initial=0)) * config.preprocess.in_plane_px**2
    return Estimate(
        memory=held_bytes() + (0 if gpu else network) + 2 * study,
        gpu_memory=network if gpu else 0,
        disk=int(
            count * (4 * model.feature_size + 16)
            + 4 * slices.sum()
            + source * SLICE_BYTES
            + len(slices) * FEATURE_FILE_BYTES
        ),
    )


def _pass_bytes(model: WindowEncoder, shape: tuple[int, ...], batch: int, *, length: int, most: int) -> int:
    """Return what a study's windows take on their way through the encoder.

    Args:
        model: on the meta device.
        shape: (1, C, T, H, W) of what the early layers see at once: a window, or a slice.
        batch: so many of it, and then so many windows.
        length: slices of a window.
        most: slices of the largest study.
    """
    x = torch.zeros(shape, device="meta")
    early = 2 * x.nbytes + peak_bytes(model, partial(model.forward_layer2, x))
    maps = [one for one in model.forward_layer2(x) if one is not None]
    if not model.slices_apart:
        return batch * max(early, peak_bytes(model, partial(model.feature_of, *maps)))
    windows = [one.repeat_interleave(length, dim=2) for one in maps]
    late = 2 * _bytes(windows) + peak_bytes(model, partial(model.feature_of, *windows))
    return batch * max(early, late) + 2 * most * _bytes(maps)  # the maps of all slices, once more as they are joined


def _bytes(parts: Iterable[Tensor]) -> int:
    return sum(part.nbytes for part in parts)


def _training(model: nn.Module, batch: int, read: int, *, gpu: bool) -> Estimate:
    weights = _weights(model)
    network = 4 * weights + batch  # weights, gradients, and Adam's two moments
    return Estimate(
        memory=held_bytes() + read + weights + (0 if gpu else network),
        gpu_memory=network if gpu else 0,
        # best 1, last 1, its state 3, the state before it 3, and the next while it is written 3
        disk=11 * weights,
    )


def _encoder(spec: Stage1Spec) -> WindowEncoder:
    with torch.device("meta"):
        return WindowEncoder(spec)


def _weights(model: nn.Module) -> int:
    return _bytes((*model.parameters(), *model.buffers()))


def saved_bytes(model: nn.Module, *inputs: Tensor) -> int:
    """Return how many bytes a forward pass keeps for the backward pass, weights not counted; for the meta device."""
    own = {part.untyped_storage()._cdata for part in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = model.train()(*inputs)
    del out  # what was kept has lived until here, so no two had the same place
    return sum(kept.values())


def peak_bytes(model: nn.Module, run: Callable[[], object]) -> int:
    """Return the bytes of the largest input and output of one layer while `run` uses it; for the meta device."""
    sizes = [0]

    def watch(_layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sizes.append(inputs[0].nbytes + output.nbytes)

    hooks = [part.register_forward_hook(watch) for part in model.modules() if not list(part.children())]
    with torch.no_grad():
        model.eval()
        run()
    for hook in hooks:
        hook.remove()
    return max(sizes)
