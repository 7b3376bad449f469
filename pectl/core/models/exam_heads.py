"""The exam heads of stage 2: from what was pooled for each label to the logits of the nine labels and of PE."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pectl.core.labels.names import AGE_LABELS, EXAM_LABELS

HeadName = Literal["independent", "hierarchical"]
LOCATIONS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1))
"""The seven patterns of central, left and right that a study with PE can have."""
CENTRAL, LEFT, RIGHT = range(3)
"""Places in a pattern."""
CHRONIC, BOTH = 1, 2
"""Places among the kinds; 0 is acute, which no label names."""
AGE_AT, AGES = EXAM_LABELS.index(AGE_LABELS[0]), len(AGE_LABELS)
"""Where those of age begin among the exam labels, and how many there are."""


class ExamLogits(NamedTuple):
    """The answers for B studies."""

    exam: Tensor
    """(B, 9) in the order of EXAM_LABELS; RV/LV given PE, the others in any study."""
    pe: Tensor
    """(B,) of PE: neither negative nor indeterminate."""


class IndependentHead(nn.Module):
    """Each label learns by itself (Ma et al. 2022); PE is neither negative nor indeterminate, as if independently.

    Age is told given PE where its energies come from stage 1, as in the hierarchical head.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.label = LabelLinear(channels)

    def forward(self, pooled: Tensor, age: Tensor | None = None) -> ExamLogits:
        """(B, 9, channels), and (B, 2) energies of age if there are any -> logits.

        With a and b of negative and indeterminate, P(PE) = 1 / ((1+e^a)(1+e^b)); with c of age, that of age is
        P(PE) / (1+e^-c).
        """
        exam = self.label(pooled)  # (B, 9)
        negative, indeterminate = exam[:, 0], exam[:, 1]
        without_pe = torch.stack([negative, indeterminate, negative + indeterminate]).logsumexp(0)
        if age is not None:
            no = without_pe.detach().unsqueeze(1)  # what is learnt of age isn't learnt of PE
            ages = -torch.stack([no.expand_as(age), -age, no - age]).logsumexp(0)
            exam = torch.cat([exam[:, :AGE_AT], ages, exam[:, AGE_AT + AGES :]], 1)
        return ExamLogits(exam, -without_pe)


class HierarchicalHead(nn.Module):
    """Exam type first, then what follows from PE, so that the nine probabilities are those of one distribution.

    Each label has an energy, linear in what was pooled for it. From these:

    - type: negative, indeterminate or PE, a softmax of two energies and 0;
    - given PE, acute, chronic or both: a softmax of 0 and two energies;
    - given PE, one of the seven LOCATIONS: a softmax of the sums of the energies of central, left and right in the
      pattern, and a learnt weight of the pattern;
    - given PE, RV/LV >= 1 or < 1: the difference of two energies.

    So negative + indeterminate + PE = 1; no location and no kind of PE is more probable than PE, some location is as
    probable as PE, chronic and acute-and-chronic together at most; and the two RV/LV labels, which are returned given
    PE because studies without PE have none, sum to 1. All in logarithms: nothing overflows or vanishes.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.label = LabelLinear(channels)
        self.pattern = nn.Parameter(torch.zeros(len(LOCATIONS)))
        self.register_buffer("locations", torch.tensor(LOCATIONS, dtype=torch.float32), persistent=False)
        self.locations: Tensor

    def forward(self, pooled: Tensor, age: Tensor | None = None) -> ExamLogits:
        """(B, 9, channels), and (B, 2) energies of age in the place of its own, if there are any -> logits."""
        energy = self.label(pooled)
        if age is not None:
            energy = torch.cat([energy[:, :AGE_AT], age, energy[:, AGE_AT + AGES :]], 1)
        return self.answer(energy)

    def answer(self, energy: Tensor) -> ExamLogits:
        """(B, 9) energies -> logits."""
        negative, indeterminate, chronic, both, central, left, right, large, small = energy.unbind(1)  # (B,) each
        without_pe = torch.logaddexp(negative, indeterminate)
        sums = torch.stack([central, left, right], 1) @ self.locations.T  # (B, 7)
        location = (sums + self.pattern).log_softmax(1)
        exam = [
            negative - F.softplus(indeterminate),
            indeterminate - F.softplus(negative),
            *_ages(torch.stack([chronic, both], 1), without_pe).unbind(1),
            *(_logit(location, _showing(place), without_pe) for place in (CENTRAL, LEFT, RIGHT)),
            large - small,
            small - large,
        ]
        return ExamLogits(torch.stack(exam, 1), -without_pe)


def with_one_ratio(exam: Tensor) -> Tensor:
    """Make one answer of the two RV/LV logits: (..., 9) -> (..., 9), where one is the other's negative.

    RV/LV is one question. Labels that learn by themselves answer it twice, the second time with the sign turned, so
    the answer is the mean of both: half the difference. It ranks studies as a softmax of the two does, but stays as
    sure as they are. Logits that are each other's negative, as the hierarchical head's, stay as they are.
    """
    large, small = exam[..., -2:].unbind(-1)
    half = (large - small) / 2
    return torch.cat([exam[..., :-2], torch.stack([half, -half], -1)], -1)


EXAM_HEADS: dict[HeadName, type[IndependentHead] | type[HierarchicalHead]] = {
    "independent": IndependentHead,
    "hierarchical": HierarchicalHead,
}


class LabelLinear(nn.Module):
    """A linear layer for each label, on its own channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(len(EXAM_LABELS), channels))
        self.bias = nn.Parameter(torch.zeros(len(EXAM_LABELS)))
        nn.init.trunc_normal_(self.weight, std=channels**-0.5)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, 9, channels) -> (B, 9)."""
        return (pooled * self.weight).sum(-1) + self.bias


def _ages(energy: Tensor, without_pe: Tensor) -> Tensor:
    """(B, 2) energies of chronic and both, beside 0 for acute, and (B,) of no PE -> (B, 2) logits."""
    age = torch.cat([torch.zeros_like(energy[:, :1]), energy], 1).log_softmax(1)  # (B, 3)
    return torch.stack([_logit(age, [kind], without_pe) for kind in (CHRONIC, BOTH)], 1)


def _showing(place: int) -> list[int]:
    return [number for number, pattern in enumerate(LOCATIONS) if pattern[place]]


def _logit(given_pe: Tensor, shows: list[int], without_pe: Tensor) -> Tensor:
    """Return the logit (B,) of PE of a kind that shows a label.

    Args:
        given_pe: (B, K) log-probabilities of the kinds of PE.
        shows: the kinds that show the label.
        without_pe: (B,) log of P(no PE) / P(PE).
    """
    others = [kind for kind in range(given_pe.shape[1]) if kind not in shows]
    absent = torch.cat([given_pe[:, others], without_pe.unsqueeze(1)], 1)
    return given_pe[:, shows].logsumexp(1) - absent.logsumexp(1)
