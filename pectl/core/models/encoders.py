"""The encoders of stage 2: each window of a study in the context of the others. B studies, N windows, C channels."""

from torch import Tensor, nn

from pectl.core.models.layers import BatchDropout, TemporalBlock


class TCN(nn.Module):
    """Residual temporal blocks of dilation 1, 2, 4 ... (Bai et al. 2018)."""

    def __init__(
        self, in_channels: int, hidden: int, *, levels: int, kernel_size: int, causal: bool, dropout: float
    ) -> None:
        super().__init__()
        self.out_channels = hidden
        self.blocks = nn.ModuleList(
            TemporalBlock(
                in_channels if level == 0 else hidden,
                hidden,
                kernel_size=kernel_size,
                dilation=2**level,
                dropout=dropout,
                causal=causal,
            )
            for level in range(levels)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, N, C), mask (B, N) true at real windows -> (B, N, hidden)."""
        y = x.transpose(1, 2)  # (B, C, N)
        for block in self.blocks:
            y = block(y, mask)
        return y.transpose(1, 2)


class GRU(nn.Module):
    """Gated recurrent units over the real windows, both ways unless causal, with dropout after each level.

    The levels are GRUs of one layer: the dropout that torch puts between layers would draw for the rows at hand, not
    for the whole batch.
    """

    def __init__(self, in_channels: int, hidden: int, *, levels: int, causal: bool, dropout: float) -> None:
        super().__init__()
        self.out_channels = hidden if causal else 2 * hidden
        self.levels = nn.ModuleList(
            nn.GRU(in_channels if level == 0 else self.out_channels, hidden, batch_first=True, bidirectional=not causal)
            for level in range(levels)
        )
        self.dropout = BatchDropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, N, C), mask (B, N) true at real windows -> (B, N, out_channels), 0 at padding."""
        lengths = mask.sum(1).cpu()
        for level in self.levels:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            x, _ = nn.utils.rnn.pad_packed_sequence(level(packed)[0], batch_first=True, total_length=mask.shape[1])
            x = self.dropout(x)
        return x
