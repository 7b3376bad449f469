"""Norm layers: batch norm over the whole batch, in however many processes it is computed, and group norm.

In one process these are torch's own layers. In several (torch.distributed), mean and variance in training are those of
all processes' rows together, so that a training gives the same result in any number of processes. torch's
`SyncBatchNorm` does this on GPUs alone; this works on a CPU too, and keeps the names of the weights.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

GROUP_CHANNELS = 8
"""Least channels of a group: 8 and 16 a group did best in Wu & He 2018 (table 3)."""


class BatchNorm3d(nn.BatchNorm3d):
    """Batch norm of (B, C, T, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel."""
        return _over_processes(self, x) if self.training and _several_processes() else super().forward(x)


class BatchNorm1d(nn.BatchNorm1d):
    """Batch norm of (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel."""
        return _over_processes(self, x) if self.training and _several_processes() else super().forward(x)


def use_own_batch_norm(module: nn.Module) -> None:
    """Put `BatchNorm3d` in the place of torch's own in all of a module's parts; nothing else changes."""
    for name, part in module.named_children():
        if type(part) is nn.BatchNorm3d:
            ours = BatchNorm3d(part.num_features, part.eps, part.momentum)
            ours.load_state_dict(part.state_dict())
            setattr(module, name, ours)
        else:
            use_own_batch_norm(part)


def use_group_norm(module: nn.Module) -> None:
    """Put group norm (Wu & He 2018) in the place of batch norm in all of a module's parts.

    It normalises each window by itself, so it is the same for any batch size and needs no running statistics.
    """
    for name, part in module.named_children():
        if isinstance(part, nn.BatchNorm3d):
            setattr(module, name, nn.GroupNorm(groups_of(part.num_features), part.num_features))
        else:
            use_group_norm(part)


def groups_of(channels: int) -> int:
    """Return into how many equal groups channels are cut: as many as have `GROUP_CHANNELS` each, or more."""
    return max(n for n in range(1, channels + 1) if channels % n == 0 and (n == 1 or channels // n >= GROUP_CHANNELS))


def _several_processes() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _over_processes(norm: nn.BatchNorm1d | nn.BatchNorm3d, x: Tensor) -> Tensor:
    """Normalise by the statistics of all processes' rows, and update the running ones as torch does."""
    y, mean, variance, count = _Normalise.apply(x, norm.weight, norm.bias, norm.eps)
    if norm.running_mean is not None and norm.running_var is not None and norm.momentum is not None:
        with torch.no_grad():
            norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
            unbiased = variance * count / (count - 1).clamp_min(1)
            norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), norm.momentum)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    normalised: Tensor = y
    return normalised


class _Normalise(torch.autograd.Function):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias with the moments over all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:  # noqa: ANN401
        """Return y, and mean (C,), variance (C,), count () over all processes; the moments in float64."""
        axes, shape = _axes(x)
        precise = _precise(x)
        variance, mean = torch.var_mean(precise, axes, correction=0)  # (C,)
        mean, variance, count = _pooled(mean.double(), variance.double(), x.numel() // x.shape[1])
        scale = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, scale, count)
        normal = (precise - mean.to(precise).view(shape)) * scale.to(precise).view(shape)
        ctx.mark_non_differentiable(mean, variance, count)
        return (normal * weight.view(shape) + bias.view(shape)).to(x.dtype), mean, variance, count

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Return the gradients of x, weight and bias; the last two of this process' rows alone, as of any weight."""
        x, weight, mean, scale, count = ctx.saved_tensors
        axes, shape = _axes(x)
        precise, grad = _precise(x), _precise(grad)
        normal = (precise - mean.to(precise).view(shape)) * scale.to(precise).view(shape)
        of_bias, of_weight = grad.sum(axes), (grad * normal).sum(axes)  # (C,)
        sums = torch.stack([of_bias, of_weight]).double()
        dist.all_reduce(sums)
        mean_bias, mean_weight = (sums / count).to(precise)
        slope = (scale * weight).to(precise).view(shape)
        of_x = slope * (grad - mean_bias.view(shape) - normal * mean_weight.view(shape))
        return of_x.to(x.dtype), of_weight.to(weight.dtype), of_bias.to(weight.dtype), None


def _axes(x: Tensor) -> tuple[list[int], list[int]]:
    """Return all axes but the channels', and the shape that lays (C,) along these."""
    return [axis for axis in range(x.dim()) if axis != 1], [-1 if axis == 1 else 1 for axis in range(x.dim())]


def _precise(x: Tensor) -> Tensor:
    """Return x in fp32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _pooled(mean: Tensor, variance: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, variance and count over all processes, of this process' own; all in float64."""
    here = mean.new_tensor([float(count)])
    moments = torch.cat([here, mean * count, (variance + mean * mean) * count])
    dist.all_reduce(moments)
    total, (first, second) = moments[0], moments[1:].view(2, -1) / moments[0]
    return first, (second - first * first).clamp_min(0.0), total
