"""Stage 2: the sequence classifier. It reads a study's windows in slice order and answers for the whole study."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from pectl.core.data.labels import EXAM_LABELS
from pectl.core.models.layers import BatchDropout, LabelAttention, TemporalBlock


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


class StudyLogits(NamedTuple):
    """The answers for a batch of studies."""

    exam: Tensor
    """(B, 9) logits in the order of EXAM_LABELS."""
    window: Tensor
    """(B, N) PE logits of the windows, refined in context; 0 at padding."""
    attention: Tensor
    """(B, 9, N) attention of each label over the windows; rows sum to 1, 0 at padding."""


class SequenceClassifier(nn.Module):
    """Stage 2 of Ma et al. 2022 with a true mask and, unless `causal`, context from both sides.

    Each window enters as its feature, the differences to both neighbours (zero at the ends; `causal`: to the one
    before) and its stage-1 logit.
    Its score is the stage-1 logit plus a correction from context; each exam label has its own attention pooling.
    """

    def __init__(self, spec: Stage2Spec) -> None:
        super().__init__()
        self.spec = spec
        size = (2 if spec.causal else 3) * spec.feature_size + 1
        self.encoder = _TCN(spec, size) if spec.model == "tcn" else _GRU(spec, size)
        channels = spec.hidden if spec.model == "tcn" or spec.causal else 2 * spec.hidden
        self.window_head = nn.Linear(channels, 1)
        self.attention = LabelAttention(channels + 1, labels=len(EXAM_LABELS))
        self.exam_weight = nn.Parameter(torch.empty(len(EXAM_LABELS), 2 * (channels + 1)))
        self.exam_bias = nn.Parameter(torch.zeros(len(EXAM_LABELS)))
        nn.init.trunc_normal_(self.exam_weight, std=(2 * channels) ** -0.5)
        self.register_buffer("feature_mean", torch.zeros(spec.feature_size))
        self.register_buffer("feature_std", torch.ones(spec.feature_size))
        self.feature_mean: Tensor
        self.feature_std: Tensor

    def standardise(self, features: Tensor) -> None:
        """Keep mean and deviation of the (M, F) training features; inputs are scaled by them from now on."""
        self.feature_mean.copy_(features.mean(0))
        self.feature_std.copy_(features.std(0).clamp_min(1e-6))

    def forward(self, features: Tensor, window_logit: Tensor, mask: Tensor) -> StudyLogits:
        """Features (B, N, F), window_logit (B, N), mask (B, N) true at real windows -> logits."""
        x = (features - self.feature_mean) / self.feature_std
        steps = neighbour_differences(x, mask)  # (B, N, 2F)
        if self.spec.causal:
            steps = steps[..., : x.shape[-1]]  # the difference to the window after would look ahead
        x = torch.cat([x, steps, window_logit.unsqueeze(-1)], dim=-1)  # (B, N, 3F+1), causal 2F+1
        context = self.encoder(x, mask)  # (B, N, C)
        window = (window_logit + self.window_head(context).squeeze(-1)) * mask  # (B, N)
        pooled, attention = self.attention(torch.cat([context, window.unsqueeze(-1)], dim=-1), mask)
        exam = (pooled * self.exam_weight).sum(-1) + self.exam_bias  # (B, 9)
        return StudyLogits(exam, window, attention)


def neighbour_differences(x: Tensor, mask: Tensor) -> Tensor:
    """(B, N, F) -> (B, N, 2F): difference to the window before and after; 0 at the ends of each study."""
    step = (x[:, 1:] - x[:, :-1]) * (mask[:, 1:] & mask[:, :-1]).unsqueeze(-1)  # (B, N-1, F)
    zero = torch.zeros_like(x[:, :1])
    return torch.cat([torch.cat([zero, step], 1), torch.cat([-step, zero], 1)], dim=-1)


class _TCN(nn.Module):
    """Residual temporal blocks of dilation 1, 2, 4 ..."""

    def __init__(self, spec: Stage2Spec, in_channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TemporalBlock(
                in_channels if level == 0 else spec.hidden, spec.hidden, kernel_size=spec.kernel_size,
                dilation=2**level, dropout=spec.dropout, causal=spec.causal,
            )
            for level in range(spec.levels)
        )  # fmt: skip

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, N, 3F+1) -> (B, N, hidden)."""
        y = x.transpose(1, 2)  # (B, C, N)
        for block in self.blocks:
            y = block(y, mask)
        return y.transpose(1, 2)


class _GRU(nn.Module):
    """A GRU over the real windows; both ways unless causal."""

    def __init__(self, spec: Stage2Spec, in_channels: int) -> None:
        super().__init__()
        self.gru = nn.GRU(
            in_channels, spec.hidden, spec.levels, batch_first=True, bidirectional=not spec.causal,
            dropout=spec.dropout if spec.levels > 1 else 0.0,
        )  # fmt: skip
        self.dropout = BatchDropout(spec.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, N, 3F+1) -> (B, N, hidden or 2 hidden)."""
        packed = nn.utils.rnn.pack_padded_sequence(x, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        out, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=x.shape[1])
        dropped: Tensor = self.dropout(out)
        return dropped
