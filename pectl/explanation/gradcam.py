"""Grad-CAM through both stages: which places of a window speak for an answer (Selvaraju et al. 2017).

Stage 1 answers from two maps, so both are explained, each by the path that starts there:

- layer4, through its global average: the pooled feature, which the head and stage 2 read;
- layer2, through the slice head's soft maximum over places (only with slice supervision), and through what stage 2
  reads where the clots are: four times finer in plane.

A context network adds its layer4, through its own average, as stage 2 reads that too; to Layer-CAM its layer2. It is
shown for RV/LV alone: see `Explainer`.

The weight of a channel is the *sum* of the gradient over the places of its map: Grad-CAM's mean, up to a
constant. For an average as for a soft maximum that sum is the channel's weight in the answer, whatever the map's
resolution; so both maps come in one unit, "the answer, if all the window looked like this place", and add.

Layer-CAM weighs each place by its own gradient instead, at layer2 by that along both paths. Through an average the
gradient is small and everywhere, through a soft maximum large at few places, so the maps have no common unit: they
stay apart until `merge`.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from pectl.core.labels.names import EXAM_LABELS, PE_PRESENT
from pectl.core.models.stage1 import Feature, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier, StudyLogits

Method = Literal["grad-cam", "layer-cam"]
METHOD_NAMES: Mapping[Method, str] = {"grad-cam": "Grad-CAM", "layer-cam": "Layer-CAM"}
PE_WINDOW = "pe_window"
"""PE in the window, by stage 1 alone."""
LABELS = (PE_PRESENT, PE_WINDOW, *EXAM_LABELS)
"""What can be explained."""


class Pull(NamedTuple):
    """The gradient of an answer with respect to what stage 1 hands to stage 2."""

    feature: Tensor
    """(N, F) for the pooled features."""
    window_logit: Tensor
    """(N,) for the window logits."""


class _Maps(NamedTuple):
    layer4: Tensor  # (B, F, T4, H4, W4)
    layer2: Tensor  # (B, C2, T2, H2, W2)
    context: Tensor | None  # of the context network: layer4, or layer2 where it is explained through layer4


def label_logit(logits: StudyLogits, label: str) -> Tensor:
    """Return the logit () of an exam label or `pe_present` from the answers for one study."""
    return logits.pe[0] if label == PE_PRESENT else logits.exam[0, EXAM_LABELS.index(label)]


class SeenWindows(NamedTuple):
    """The windows of one study in slice order, as stage 1 hands them to stage 2."""

    feature: Tensor
    """(N, F) pooled."""
    window_logit: Tensor
    """(N,) of PE."""
    place: Tensor
    """(N, 2), see `window_places`."""


def pull_of(classifier: SequenceClassifier, seen: SeenWindows, label: str) -> tuple[Pull, StudyLogits]:
    """Return how one study's answer for a label depends on its windows, and all its answers.

    Args:
        classifier: stage 2, in evaluation mode.
        seen: the study's windows.
        label: one of LABELS; `pe_window` asks stage 1 only: no pull on the features, 1 on each logit.
    """
    feature, window_logit = (part.detach().requires_grad_() for part in seen[:2])
    mask = torch.ones(1, len(feature), dtype=torch.bool, device=feature.device)
    with (
        torch.enable_grad(),
        torch.backends.cudnn.flags(enabled=False),
    ):  # cuDNN's GRU has no backward in eval
        logits = classifier(feature[None], window_logit[None], seen.place[None], mask)
        if label == PE_WINDOW:
            return Pull(torch.zeros_like(seen.feature), torch.ones_like(seen.window_logit)), logits
        slopes = torch.autograd.grad(label_logit(logits, label), (feature, window_logit))
    return Pull(*slopes), logits


class WindowHeat(NamedTuple):
    """What in each window speaks for an answer."""

    maps: Tensor
    """(M, B, T, H, W) >= 0, not normalised: windows of one study compare. Grad-CAM has one map."""
    stride: int
    """Pixels from one place to the next of the finest map."""
    context: Tensor | None = None
    """(B, T, H, W) >= 0 of Layer-CAM by the context network; Grad-CAM has it among `maps`."""


def window_heat(
    encoder: WindowEncoder,
    feature: Feature,
    size: Sequence[int],
    pull: Pull,
    *,
    method: Method,
) -> WindowHeat:
    """Return what in each window speaks for an answer.

    Args:
        encoder: stage 1, in evaluation mode.
        feature: of B windows; only what follows its layer2 maps is run again. Without that of the context network, the
            network's part isn't shown.
        size: (T, H, W) of the windows.
        pull: of the answer on these B windows.
        method: `layer-cam` weighs each place by its own positive gradient (Jiang et al. 2021): finer, and
            sparse where a soft maximum picks few places.
    """
    maps, far = _maps(encoder, feature, joined=method == "layer-cam")
    there = [part for part in maps if part is not None]
    with torch.enable_grad():
        unseen = feature.pooled[:, encoder.backbone_size :] if far is None else feature.pooled[:, :0]
        pooled = torch.cat([encoder.pool(maps.layer2, maps.layer4, far), unseen], dim=1)
        logit = encoder.forward_head(Feature(pooled, maps.layer2)).window
        answer = (pull.feature * pooled).sum() + (pull.window_logit * logit).sum()
        slopes = torch.autograd.grad(answer, there, allow_unused=True)
    # None: Grad-CAM without slice head, layer2 isn't read directly
    cams = [_cam(part.detach(), slope, method) for part, slope in zip(there, slopes, strict=True) if slope is not None]
    stride = min(_stride(cam.shape[-1], size[-1]) for cam in cams)
    heat = torch.stack([enlarge(cam, size) for cam in cams])
    if method == "grad-cam":
        return WindowHeat(heat.sum(dim=0, keepdim=True).relu_(), stride)
    heat.relu_()
    return WindowHeat(heat, stride) if maps.context is None else WindowHeat(heat[:-1], stride, heat[-1])


def _maps(encoder: WindowEncoder, feature: Feature, *, joined: bool) -> tuple[_Maps, Tensor | None]:
    """Return the maps, ready for a backward pass, and layer4 of the context network.

    Args:
        encoder: stage 1.
        feature: of the windows.
        joined: layer2 is also explained through layer4.
    """
    layer2, context = (None if part is None else part.detach().requires_grad_() for part in feature[1:])
    with torch.set_grad_enabled(joined):
        layer4, far = encoder.forward_layer4(cast("Tensor", layer2), context)
    if joined:
        return _Maps(layer4, cast("Tensor", layer2), context), far
    far = None if far is None else far.detach().requires_grad_()
    return _Maps(layer4.detach().requires_grad_(), cast("Tensor", layer2), far), far


def _cam(part: Tensor, slope: Tensor, method: Method) -> Tensor:
    """(B, C, t, h, w) map and its gradient -> (B, t, h, w), still signed."""
    weight = slope.sum(dim=(2, 3, 4), keepdim=True) if method == "grad-cam" else slope.clamp_min(0)
    return (weight * part).sum(dim=1)


def merge(maps: NDArray[np.float32], spread: tuple[float, float, float]) -> NDArray[np.float32]:
    """Merge the maps of Layer-CAM: each smoothed and scaled to a peak of 1, then their product, times their strength.

    The gradient of a soft maximum is sparse: it picks few places of the map where a clot covers several. Smoothed over
    the width of a place, neighbouring windows that pick neighbouring places agree on what lies between. The product
    keeps what both maps speak for: layer4's says around where, layer2's where in it. A map without heat is left out.

    The strength is the geometric mean of the smoothed maps' peaks. So heat is twice as high where all gradients are, or
    all activations, and that of studies compares though the maps have no common unit.

    Args:
        maps: (M, D, H, W) >= 0.
        spread: standard deviation in voxels along D, H, W.
    """
    smooth = [gaussian_filter(part, spread) for part in maps if part.any()]
    if not smooth:
        return np.zeros(maps.shape[1:], np.float32)
    peaks = [float(part.max()) for part in smooth]
    scaled = [part / peak for part, peak in zip(smooth, peaks, strict=True)]
    return np.asarray(np.prod(scaled, axis=0) * np.exp(np.mean(np.log(peaks))), np.float32)


def context_share(pull: Pull, seen: SeenWindows, backbone_size: int) -> float:
    """Return which share of the answer's change along the study comes by the context network, 0 to 1.

    Of each window that is the gradient times how far it is from the study's mean window.

    Args:
        pull: of the answer on the N windows of a study.
        seen: these windows.
        backbone_size: features of the backbone; the others are of the context network.
    """
    change = pull.feature * (seen.feature - seen.feature.mean(dim=0))  # (N, F)
    by_logit = pull.window_logit * (seen.window_logit - seen.window_logit.mean())  # (N,)
    own = (change[:, :backbone_size].sum(dim=1) + by_logit).abs().sum().item()
    context = change[:, backbone_size:].sum(dim=1).abs().sum().item()
    return context / (own + context) if context else 0.0


def join(own: NDArray[np.float32], context: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Add the heat of the context network to that of the backbone, (D, H, W) each, by its share of the answer.

    Each is scaled to its peak for that, as they have no common unit; the sum has the geometric mean of both peaks by
    these shares as its strength.
    """
    peaks = [float(part.max()) for part in (own, context)]
    weights = (1 - share, share)
    there = [
        (part, peak, weight) for part, peak, weight in zip((own, context), peaks, weights, strict=True) if peak > 0
    ]
    total = sum(weight for _, _, weight in there)
    if total == 0:
        return np.zeros_like(own)
    strength = np.exp(sum(weight * np.log(peak) for _, peak, weight in there) / total)
    return np.asarray(strength * sum(weight * part / peak for part, peak, weight in there), np.float32)


def enlarge(cam: Tensor, size: Sequence[int]) -> Tensor:
    """(B, t, h, w) map of a strided network -> (B, T, H, W), each value at the centre of what it saw.

    A convolution of stride 2 with odd kernel and "same" padding centres output k on input 2k. Stretching the
    map over the window, as `interpolate` does, would shift it by almost half a stride: 7.5 pixels for layer4.
    """
    steps = [_interpolation(small, large).to(cam) for small, large in zip(cam.shape[1:], size, strict=True)]
    return torch.einsum("bthw,Tt,Hh,Ww->bTHW", cam, *steps)


def _interpolation(small: int, large: int) -> Tensor:
    """Return (large, small) linear interpolation weights between points at 0, s, 2s ..., then flat."""
    place = (torch.arange(large) / _stride(small, large)).clamp(max=small - 1)  # (large,)
    return (1 - (place.unsqueeze(1) - torch.arange(small)).abs()).clamp_min(0)


def _stride(small: int, large: int) -> int:
    """Return the stride that makes `small` of `large` by halvings that round up.

    Raises:
        ValueError: no such stride.
    """
    stride = 1
    while -(-large // stride) > small:
        stride *= 2
    if -(-large // stride) != small:
        raise ValueError(f"a map of {small} isn't made from {large} by strides of 2")
    return stride
