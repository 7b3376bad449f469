"""Are a network's bf16 gradients right on this machine? Some processors compute those of some convolutions wrong.

Seen: the weight gradient of a `Conv3d` whose input is exactly 2 deep is garbage on an AMD Zen 3, and right on an Intel
with AMX (docs/background/traps.md). So it is measured, layer by layer, before a training relies on it.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pectl.errors import DeviceError

TOLERANCE = 0.02
"""Relative error of a gradient; rounding to bf16's 8 bits alone makes 0.003."""

Convolution = nn.Conv1d | nn.Conv3d


def check_bf16_gradients(model: nn.Module, *inputs: Tensor) -> None:
    """Compare the gradients of every convolution in bf16 with those in fp32, fed what it sees in the network.

    Args:
        model: in fp32, on the device that will train it; it isn't changed.
        inputs: of one small batch, in the shape and memory layout of training.

    Raises:
        DeviceError: a layer's gradients differ by more than rounding explains; the layers are named.
    """
    wrong = {layer: off for layer, off in gradient_errors(model, *inputs).items() if not off <= TOLERANCE}
    if wrong:
        name, error = next(iter(wrong.items()))
        raise DeviceError(
            where="precision = bf16",
            expected=f"gradients within {TOLERANCE:.0%} of those in fp32",
            found=f"others in {len(wrong)} layers, such as {name} (off by {error:.1%})",
            fix="use precision = fp32: this device computes them wrong",
        )


def gradient_errors(model: nn.Module, *inputs: Tensor) -> dict[str, float]:
    """Return the relative error of each convolution's gradients (of its weight or its input, the larger), by name."""
    return {name: _error(conv, x) for name, (conv, x) in _fed(model, *inputs).items()}


def _fed(model: nn.Module, *inputs: Tensor) -> dict[str, tuple[Convolution, Tensor]]:
    """Return each convolution with what it is given, in a forward pass without dropout or running statistics."""
    seen: dict[str, tuple[Convolution, Tensor]] = {}

    def watch(name: str, conv: Convolution) -> torch.utils.hooks.RemovableHandle:
        return conv.register_forward_pre_hook(lambda _, given: seen.__setitem__(name, (conv, given[0].detach())))

    hooks = [watch(name, part) for name, part in model.named_modules() if isinstance(part, Convolution)]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(*inputs)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return seen


def _error(conv: Convolution, x: Tensor) -> float:
    given = x.clone().requires_grad_()
    with torch.enable_grad(), parametrize.cached():  # a weight-normed weight is made anew at each look, else
        weight, exact = conv.weight, conv(given)
        pull = torch.rand_like(exact)
        wanted = torch.autograd.grad(exact, (weight, given), pull)
        with torch.autocast(x.device.type, torch.bfloat16):
            rounded = conv(given)
        found = torch.autograd.grad(rounded, (weight, given), pull.to(rounded.dtype))
    errors = [((a - b).norm() / b.norm()).nan_to_num(nan=torch.inf) for a, b in zip(found, wanted, strict=True)]
    return float(max(errors))
