"""What one answer costs: binary cross-entropy, with smoothed labels or focused on hard cases where that is wanted."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class Penalty:
    """Binary cross-entropy of each answer.

    Attributes:
        smoothing: targets are moved from 0 and 1 to smoothing / 2 and 1 - smoothing / 2 (Szegedy et al. 2016).
        gamma: of the focal loss (Lin et al. 2017, without their class weight): the part of each class is multiplied by
            the probability of the other, to the power of gamma; 0 is plain.
    """

    smoothing: float = 0.0
    gamma: float = 0.0

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the penalty of each logit; targets are 0 or 1, of the same shape."""
        soft = targets * (1 - self.smoothing) + self.smoothing / 2
        if self.gamma == 0:
            return F.binary_cross_entropy_with_logits(logits, soft, reduction="none")
        log_p, log_q = F.logsigmoid(logits), F.logsigmoid(-logits)
        present = soft * torch.exp(self.gamma * log_q) * log_p
        absent = (1 - soft) * torch.exp(self.gamma * log_p) * log_q
        return -(present + absent)


PLAIN = Penalty()
