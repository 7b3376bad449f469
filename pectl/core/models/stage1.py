"""Stage 1: the window encoder. A 3-D ResNet turns a window of CT slices into one feature and one PE logit."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pectl.core.labels.names import AGE_LABELS, MULTITASK_LABELS
from pectl.core.models.layers import SlimResNet3d
from pectl.core.models.norm import use_group_norm, use_own_batch_norm
from pectl.core.models.video_resnet import mc3_18, r2plus1d_18, r3d_10, r3d_18
from pectl.errors import WeightsError


@dataclass(frozen=True)
class Backbone:
    """How to build a 3-D ResNet (parts `stem`, `layer1` .. `layer4`), and what comes out of layer2 and layer4."""

    build: Callable[[], nn.Module]
    layer2_step: int
    """Slices from one place of layer2's map to the next."""
    layer2_channels: int
    layer4_channels: int
    kinetics400: str | None = None
    """Name of the weights in torchvision.models.video; None where there are none."""
    early_in_plane: bool = False
    """Stem, layer1 and layer2 keep every slice and look at each by itself; `layer2_step` is then 1."""


BACKBONES = {
    "r3d_18": Backbone(r3d_18, 2, 128, 512, "R3D_18_Weights"),
    "mc3_18": Backbone(mc3_18, 1, 128, 512, "MC3_18_Weights"),
    "r2plus1d_18": Backbone(r2plus1d_18, 2, 128, 512, "R2Plus1D_18_Weights"),
    "r3d_10": Backbone(r3d_10, 2, 128, 512),
    "slim_16": Backbone(lambda: SlimResNet3d(width=16), 1, 32, 128, early_in_plane=True),
    "slim_32": Backbone(lambda: SlimResNet3d(width=32), 1, 64, 256, early_in_plane=True),
}


_AGE_AT = MULTITASK_LABELS.index(AGE_LABELS[0])
CONTEXT_WIDTH = 16
"""Channels of the stem of the context network, a `SlimResNet3d`."""


@dataclass(frozen=True, kw_only=True)
class Stage1Spec:
    """What a checkpoint must know to build its window encoder again."""

    backbone: str
    in_channels: int
    slice_supervision: bool
    multitask: bool = False
    """There are heads for MULTITASK_LABELS; the defaults are what checkpoints without these words have."""
    norm: str = "batch"
    """`batch` or `group`."""
    slice_pooling: str = "max"
    """One of SLICE_POOLING."""
    context: bool = False
    """The multitask heads read a context network, and stage 2 reads it beside the backbone."""
    at_clots: bool = False
    """The heads for age read layer2 where the clots are, and stage 2 reads what they say; needs slice supervision."""


class Feature(NamedTuple):
    """What the networks make of a batch of windows."""

    pooled: Tensor
    """(B, F) global average of layer4, both logits of age, global average of the context network's layer4."""
    layer2: Tensor
    """(B, C2, T2, H2, W2): where the slice head looks."""
    context: Tensor | None = None
    """(B, C2', T, H2', W2') layer2 of the context network; None without one."""


class WindowLogits(NamedTuple):
    """The logits of a batch of windows."""

    window: Tensor
    """(B,) PE in the window."""
    slices: Tensor | None
    """(B, T2) PE in each run of T/T2 slices, fp32; None without slice supervision."""
    study: Tensor | None = None
    """(B, 6) each of MULTITASK_LABELS of the window's study; None without multitask heads."""
    places: Tensor | None = None
    """(B, T2, H2, W2) an embolus at each place of layer2's map, fp32; None without slice supervision."""


class WindowEncoder(nn.Module):
    """Stage 1 of Ma et al. 2022: `forward_features` then `forward_head`.

    With slice supervision a linear head judges each place of layer2, and a slice's logit is pooled from its places
    (`slice_pooling`); the window logit is then the sum of the head on the pooled feature and the largest slice logit.
    Multitask heads say what kind of PE the window shows, and how wide the right heart is. They read a small context
    network, which sees the window at half the resolution: labels of slices and places pull the backbone towards clots,
    and what it then tells of the heart is left to chance.

    How old a clot is shows at its edge, which averages over the window have lost. So the heads for age read layer2
    where the slice head sees clots: the mean over all places of the window, weighed by the softmax of their logits.

    Where `slices_apart`, layer2's map of a slice is the same in every window at inference, so it need be computed once.
    """

    def __init__(self, spec: Stage1Spec) -> None:
        super().__init__()
        self.spec = spec
        known = backbone_named(spec.backbone)
        self.backbone = _adapted(known.build(), spec)
        self.backbone.fc = nn.Identity()  # the 400 actions of Kinetics
        self.slices_apart = known.early_in_plane and spec.norm == "batch"  # group norm joins a window's slices
        self.context = _adapted(SlimResNet3d(width=CONTEXT_WIDTH), spec) if spec.context else None
        context_size = 8 * CONTEXT_WIDTH if spec.context else 0
        ages = len(AGE_LABELS) if spec.at_clots else 0
        self.layer4_size = known.layer4_channels
        self.backbone_size = known.layer4_channels + ages
        self.feature_size = self.backbone_size + context_size
        self.head = nn.Linear(known.layer4_channels, 1)
        self.slice_head = nn.Linear(known.layer2_channels, 1) if spec.slice_supervision else None
        read = context_size or known.layer4_channels
        self.multitask_head = nn.Linear(read, len(MULTITASK_LABELS) - ages) if spec.multitask else None
        self.age_head = nn.Linear(known.layer2_channels, ages) if spec.at_clots else None

    @property
    def age_at(self) -> int | None:
        """Return the first of the two numbers of a feature that are logits of age; None where it has none."""
        return None if self.age_head is None else self.layer4_size

    def slice_runs(self, length: int) -> int:
        """Return T2, the slice logits of a window of `length` slices."""
        return -(-length // backbone_named(self.spec.backbone).layer2_step)

    def forward_features(self, x: Tensor) -> Feature:
        """(B, C, T, H, W) in [0, 1] -> pooled feature and the layer2 maps."""
        return self.feature_of(*self.forward_layer2(x))

    def forward_layer2(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C, T, H, W) in [0, 1] -> layer2 of the backbone (B, C2, T2, H2, W2), and of the context network."""
        context = None if self.context is None else _to_layer2(self.context, F.avg_pool3d(x, (1, 2, 2)))
        return _to_layer2(self.backbone, x), context

    def feature_of(self, layer2: Tensor, context: Tensor | None = None) -> Feature:
        """Both layer2 maps -> pooled feature and these maps."""
        return Feature(self.pool(layer2, *self.forward_layer4(layer2, context)), layer2, context)

    def pool(self, layer2: Tensor, layer4: Tensor, context: Tensor | None) -> Tensor:
        """Layer2 and layer4 of the backbone, and layer4 of the context network -> (B, F): see `Feature`.

        Without the last its part is left out.
        """
        parts = [layer4.mean(dim=(2, 3, 4))]
        if self.age_head is not None:
            parts.append(self.age_head(_at_clots(layer2, self._places(layer2)).to(layer4.dtype)))
        if context is not None:
            parts.append(context.mean(dim=(2, 3, 4)))
        return torch.cat(parts, dim=1)

    def _places(self, layer2: Tensor) -> Tensor:
        """(B, C2, T2, H2, W2) -> (B, T2, H2, W2) logits of an embolus, fp32."""
        places: Tensor = cast("nn.Linear", self.slice_head)(layer2.movedim(1, -1)).float().squeeze(-1)
        return places

    def forward_layer4(self, layer2: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Both layer2 maps -> layer4 of the backbone (B, F, T4, H4, W4), and of the context network."""
        far = None if self.context is None or context is None else _to_layer4(self.context, context)
        return _to_layer4(self.backbone, layer2), far

    def forward_head(self, feature: Feature) -> WindowLogits:
        """Return the logits of the windows."""
        own, age, context = feature.pooled.tensor_split((self.layer4_size, self.backbone_size), dim=1)
        window = self.head(own).squeeze(-1)  # (B,)
        study = self._study(own if self.context is None else context, age)
        if self.slice_head is None:
            return WindowLogits(window, None, study)
        places = self._places(feature.layer2)  # (B, T2, H2, W2)
        slices = SLICE_POOLING[self.spec.slice_pooling](places.flatten(2))  # (B, T2)
        return WindowLogits(window + slices.amax(dim=1), slices, study, places)

    def _study(self, read: Tensor, age: Tensor) -> Tensor | None:
        """Return (B, 6), each of MULTITASK_LABELS, or None without such heads; `age` is (B, 2), or (B, 0)."""
        if self.multitask_head is None:
            return None
        before, after = self.multitask_head(read).tensor_split((_AGE_AT,), dim=1)
        return torch.cat([before, age, after], dim=1)

    def forward(self, x: Tensor) -> WindowLogits:
        """(B, C, T, H, W) in [0, 1] -> logits."""
        return self.forward_head(self.forward_features(x))


def _at_clots(layer2: Tensor, places: Tensor) -> Tensor:
    """(B, C2, T2, H2, W2) and the logits of its places -> (B, C2), the mean where clots are.

    The weights are the softmax over all places of the window, by which a soft maximum shares out its gradient. They are
    taken as they are: what is learnt of a clot's age doesn't move where clots are seen.
    """
    weight = places.detach().flatten(1).softmax(dim=1)  # (B, P)
    return torch.einsum("bcp,bp->bc", layer2.float().flatten(2), weight)


def _to_layer2(network: nn.Module, x: Tensor) -> Tensor:
    part = network.get_submodule
    layer2: Tensor = part("layer2")(part("layer1")(part("stem")(x)))
    return layer2


def _to_layer4(network: nn.Module, layer2: Tensor) -> Tensor:
    part = network.get_submodule
    layer4: Tensor = part("layer4")(part("layer3")(layer2))
    return layer4


def log_mean_exp(places: Tensor) -> Tensor:
    """(B, T2, P) -> (B, T2), a soft maximum (Pinheiro & Collobert 2015).

    Every place has a share of the gradient: at first about the same, later where the clot is. A maximum teaches one
    place at a time.
    """
    return places.logsumexp(dim=2) - math.log(places.shape[2])


def largest(places: Tensor) -> Tensor:
    """(B, T2, P) -> (B, T2)."""
    return places.amax(dim=2)


SLICE_POOLING: dict[str, Callable[[Tensor], Tensor]] = {"log-mean-exp": log_mean_exp, "max": largest}
"""From the logits of a slice's places to the slice's logit."""


def backbone_named(name: str) -> Backbone:
    """Look a backbone up.

    Raises:
        WeightsError: no such backbone; the message lists the known ones.
    """
    if name not in BACKBONES:
        raise WeightsError(
            where="stage1.backbone",
            expected=f"one of {', '.join(BACKBONES)}",
            found=name,
            fix="choose one of these",
        )
    return BACKBONES[name]


def _adapted(network: nn.Module, spec: Stage1Spec) -> nn.Module:
    """Give a network the channels and the norm that the spec asks for."""
    _adapt_stem(network, spec.in_channels)
    (use_group_norm if spec.norm == "group" else use_own_batch_norm)(network)
    return network


def _adapt_stem(backbone: nn.Module, in_channels: int) -> None:
    """Give the first convolution `in_channels` inputs; its weights become the mean over the old channels."""
    stem = backbone.get_submodule("stem")
    if not isinstance(stem, nn.Sequential):
        return
    first = stem[0]
    if not isinstance(first, nn.Conv3d) or first.in_channels == in_channels:
        return
    conv = nn.Conv3d(in_channels, first.out_channels, first.kernel_size, first.stride, first.padding, bias=False)  # type: ignore[arg-type]  # Conv3d keeps its own tuples
    with torch.no_grad():
        conv.weight.copy_(first.weight.mean(dim=1, keepdim=True).expand_as(conv.weight))
    stem[0] = conv
