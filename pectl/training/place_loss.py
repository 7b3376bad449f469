"""The loss of places: stage 1 is told where emboli lie in a window, by masks or by boxes.

As the other losses (see losses.py) it comes as sums and weights of means: of windows on which emboli are marked, and of
windows with places that are known to be free of them. Each window counts once in each, however large its emboli are: a
small clot teaches as much as a large one. A place that shows an embolus must stand out among all of its slice, as a
slice's logit is the log-mean-exp of its places; equal weights for the few places with an embolus and the many without
lead there.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pectl.core.batches.places import AS_BOX, AS_MASK
from pectl.training.losses import label_runs

PLACE_MEANS = 2
"""Windows with what is marked, windows with what is free."""
_LEAST_SHARE = 0.25
"""A pixel that was marked and then moved by half a pixel in both directions still has so much."""


def place_sums(places: Tensor | None, slice_labels: Tensor, *marked: Tensor) -> Tensor:
    """Return the (PLACE_MEANS,) sums of binary cross-entropy over windows, each the mean over its places.

    A mask: each place of layer2's map that it touches has an embolus, each other has none. Boxes: of the places in the
    boxes of a run of slices together at least one has (their log-mean-exp is judged), places of runs that are labelled
    as without PE have none, and of all others nothing is known.

    Args:
        places: (B, T2, H2, W2) logits; None without slice supervision.
        slice_labels: (B, T) int8, -1 unknown.
        marked: nothing where places aren't learnt; else the embolus, (B, T, S, S) bool or share of a pixel from 0 to 1,
            and how each window is marked, (B,) NOT_MARKED, AS_MASK or AS_BOX.
    """
    if places is None or not marked:
        return slice_labels.new_zeros(PLACE_MEANS, dtype=torch.float32)
    embolus, how = marked
    inside = F.adaptive_max_pool3d(embolus.float(), places.shape[1:]) >= _LEAST_SHARE  # (B, T2, H2, W2)
    mask, box = (how == kind for kind in (AS_MASK, AS_BOX))
    free = (label_runs(slice_labels, places.shape[1]) == 0)[:, :, None, None].expand_as(places)
    free = torch.where(_each(mask, places), ~inside, free & ~inside & _each(box, places))
    with_embolus = mask * _mean(F.softplus(-places), inside) + box * _boxes(places, inside)
    return torch.stack([with_embolus.sum(), _mean(F.softplus(places), free).sum()])


def place_weights(slice_labels: Tensor, *marked: Tensor, runs: int) -> Tensor:
    """Return the (PLACE_MEANS,) weights: windows on which something is marked, windows with places known to be free.

    Args:
        slice_labels: (B, T) int8, -1 unknown.
        marked: as for `place_sums`, before windows are changed.
        runs: T2.
    """
    if not marked:
        return torch.zeros(PLACE_MEANS, dtype=torch.float64)
    embolus, how = marked
    shown = (how > 0) & embolus.flatten(1).any(dim=1)
    free = (how == AS_MASK) | ((how == AS_BOX) & (label_runs(slice_labels, runs) == 0).any(dim=1))
    return torch.tensor([int(shown.sum()), int(free.sum())], dtype=torch.float64)


def _boxes(places: Tensor, inside: Tensor) -> Tensor:
    """Return the mean over the runs with boxes of the cross-entropy of their log-mean-exp: (B,), 0 without boxes."""
    count = inside.sum(dim=(2, 3))  # (B, T2)
    lowest = torch.finfo(places.dtype).min
    pooled = torch.where(inside, places, lowest).flatten(2).logsumexp(dim=2) - count.clamp(min=1).log()
    return _mean(F.softplus(-torch.where(count > 0, pooled, 0.0)), count > 0)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Return the mean of the values at these places of each window: (B,), 0 where there are none."""
    kept = torch.where(where, values, 0.0).flatten(1).sum(dim=1)
    return kept / where.flatten(1).sum(dim=1).clamp(min=1)


def _each(windows: Tensor, places: Tensor) -> Tensor:
    """Lay what is said of windows, (B,), along their places."""
    return windows.view(-1, 1, 1, 1).expand_as(places)
