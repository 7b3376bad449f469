"""Stage 2: the sequence classifier. It reads a study's windows in slice order and answers for the whole study."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pectl.core.labels.names import EXAM_LABELS
from pectl.core.models.encoders import GRU, TCN
from pectl.core.models.exam_heads import AGE_AT, AGES, EXAM_HEADS, HeadName, with_one_ratio
from pectl.core.models.layers import LabelAttention

PLACE_CHANNELS = 2


@dataclass(frozen=True, kw_only=True)
class Stage2Spec:
    """What a checkpoint must know to build its sequence classifier again."""

    model: Literal["tcn", "gru"]
    feature_size: int
    hidden: int
    levels: int
    kernel_size: int
    causal: bool
    dropout: float
    head: HeadName
    position: bool
    ensemble: int
    age_at: int | None = None
    """The first of the two numbers of a feature that are stage 1's logits of age; None where it has none."""


class StudyLogits(NamedTuple):
    """The answers for a batch of studies."""

    exam: Tensor
    """(B, 9) logits in the order of EXAM_LABELS; those of RV/LV given PE, one the other's negative."""
    pe: Tensor
    """(B,) logits of PE: neither negative nor indeterminate."""
    window: Tensor
    """(B, N) PE logits of the windows, refined in context; 0 at padding."""
    attention: Tensor
    """(B, 9, N) attention of each label over the windows; rows sum to 1, 0 at padding."""


class SequenceClassifier(nn.Module):
    """One or several members that answer the same study, each with its own first weights and dropout.

    Each window enters as its feature, the differences to both neighbours (zero at the ends; `causal`: to the one
    before), its stage-1 logit and, with `position`, its place along the body.

    Where stage 1 says how old clots are, that alone decides of age: the mean of its logits over the windows, weighed by
    how surely they show PE. Few studies are chronic, and a network that reads all of a feature learns these by heart.
    """

    def __init__(self, spec: Stage2Spec) -> None:
        super().__init__()
        self.spec = spec
        size = (2 if spec.causal else 3) * spec.feature_size + 1 + (PLACE_CHANNELS if spec.position else 0)
        self.members = nn.ModuleList(SequenceMember(spec, size) for _ in range(spec.ensemble))
        self.register_buffer("feature_mean", torch.zeros(spec.feature_size))
        self.register_buffer("feature_std", torch.ones(spec.feature_size))
        self.feature_mean: Tensor
        self.feature_std: Tensor

    def standardise(self, features: Tensor) -> None:
        """Keep mean and deviation of the (M, F) training features; inputs are scaled by them from now on."""
        self.feature_mean.copy_(features.mean(0))
        self.feature_std.copy_(features.std(0).clamp_min(1e-6))

    def forward(
        self, features: Tensor, window_logit: Tensor, place: Tensor, mask: Tensor, *, each: bool = False
    ) -> StudyLogits:
        """Answer for B studies of up to N windows.

        Args:
            features: (B, N, F).
            window_logit: (B, N), stage 1's.
            place: (B, N, PLACE_CHANNELS), see `window_places`; not read without `position`.
            mask: (B, N), true at real windows.
            each: return what the members say for themselves, as they learn, on a first axis (members, B, ...): not
                their mean, nor the two RV/LV labels as one answer.
        """
        x = self._inputs(features, window_logit, place, mask)
        at = self.spec.age_at
        age = None if at is None else features[..., at : at + AGES]
        answers = [member(x, window_logit, mask, age) for member in self.members]
        if each:
            return StudyLogits(*(torch.stack(part) for part in zip(*answers, strict=True)))
        together = mean_of(answers)
        return together._replace(exam=with_one_ratio(together.exam))

    def _inputs(self, features: Tensor, window_logit: Tensor, place: Tensor, mask: Tensor) -> Tensor:
        """Return what the members see of each window: (B, N, channels)."""
        x = (features - self.feature_mean) / self.feature_std
        steps = neighbour_differences(x, mask)  # (B, N, 2F)
        if self.spec.causal:
            steps = steps[..., : x.shape[-1]]  # the difference to the window after would look ahead
        parts = [x, steps, window_logit.unsqueeze(-1)]  # (B, N, 3F+1), causal 2F+1
        return torch.cat([*parts, place] if self.spec.position else parts, dim=-1)


class SequenceMember(nn.Module):
    """Stage 2 of Ma et al. 2022 with a true mask and, unless `causal`, context from both sides.

    The score of a window is the stage-1 logit plus a correction from context; each exam label has its own attention
    pooling, and the head turns what was pooled into answers.
    """

    def __init__(self, spec: Stage2Spec, in_channels: int) -> None:
        super().__init__()
        self.encoder = _encoder(spec, in_channels)
        channels = self.encoder.out_channels + 1
        self.window_head = nn.Linear(self.encoder.out_channels, 1)
        self.attention = LabelAttention(channels, labels=len(EXAM_LABELS))
        self.exam_head = EXAM_HEADS[spec.head](2 * channels)
        self.age = None if spec.age_at is None else AgeFromWindows()

    def forward(self, x: Tensor, window_logit: Tensor, mask: Tensor, age: Tensor | None) -> StudyLogits:
        """(B, N, C), stage-1 logits and mask (B, N), stage-1 logits of age (B, N, 2) if there are any -> logits."""
        context = self.encoder(x, mask)  # (B, N, C')
        window = (window_logit + self.window_head(context).squeeze(-1)) * mask  # (B, N)
        pooled, attention = self.attention(torch.cat([context, window.unsqueeze(-1)], dim=-1), mask)
        energy = None
        if self.age is not None:
            energy, shares = self.age(age, window, mask)
            by_window = shares.unsqueeze(1).expand(-1, AGES, -1)
            attention = torch.cat([attention[:, :AGE_AT], by_window, attention[:, AGE_AT + AGES :]], 1)
        exam, pe = self.exam_head(pooled, energy)
        return StudyLogits(exam, pe, window, attention)


class AgeFromWindows(nn.Module):
    """Two energies of a study's age, chronic and both, beside 0 for acute, from stage 1's logits of its windows."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.bias = nn.Parameter(torch.ones(AGES)), nn.Parameter(torch.zeros(AGES))

    def forward(self, age: Tensor, window: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, 2) logits of age, (B, N) PE logits, mask -> (B, 2) energies, and (B, N) the share of each window."""
        shares = window.detach().masked_fill(~mask, -torch.inf).softmax(1)
        return (shares.unsqueeze(-1) * age).sum(1) * self.scale + self.bias, shares


def _encoder(spec: Stage2Spec, in_channels: int) -> TCN | GRU:
    if spec.model == "gru":
        return GRU(in_channels, spec.hidden, levels=spec.levels, causal=spec.causal, dropout=spec.dropout)
    return TCN(
        in_channels,
        spec.hidden,
        levels=spec.levels,
        kernel_size=spec.kernel_size,
        causal=spec.causal,
        dropout=spec.dropout,
    )


def mean_of(answers: Sequence[StudyLogits]) -> StudyLogits:
    """Return the mean of several answers: of their probabilities, as logits, and of their attention.

    Of probabilities, not of logits (Lakshminarayanan et al. 2017): a mean of distributions is one, so that what
    coheres in each member, as with the hierarchical head, does so in their mean.
    """
    if len(answers) == 1:
        return answers[0]
    exam, pe, window, attention = (torch.stack(part) for part in zip(*answers, strict=True))  # (members, B, ...)
    return StudyLogits(_mean_probability(exam), _mean_probability(pe), _mean_probability(window), attention.mean(0))


def _mean_probability(logits: Tensor) -> Tensor:
    """(members, ...) logits -> the logit of their mean probability, exact also where that is close to 0 or 1."""
    return F.logsigmoid(logits).logsumexp(0) - F.logsigmoid(-logits).logsumexp(0)


def neighbour_differences(x: Tensor, mask: Tensor) -> Tensor:
    """(B, N, F) -> (B, N, 2F): difference to the window before and after; 0 at the ends of each study."""
    step = (x[:, 1:] - x[:, :-1]) * (mask[:, 1:] & mask[:, :-1]).unsqueeze(-1)  # (B, N-1, F)
    zero = torch.zeros_like(x[:, :1])
    return torch.cat([torch.cat([zero, step], 1), torch.cat([-step, zero], 1)], dim=-1)
