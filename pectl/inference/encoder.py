"""A study through stage 1: the one way in which extraction, explanation and prediction show it its windows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pectl.config import WindowsConfig
from pectl.core.batches.contrast import contrast_gain
from pectl.core.batches.intensity import prepare
from pectl.core.batches.windows import window_labels, window_starts
from pectl.core.models.stage1 import Feature, WindowEncoder
from pectl.core.stores.feature_store import StudySequence
from pectl.core.stores.study_store import Study, no_vessel_hu
from pectl.inference.device import Engine

FloatArray = NDArray[np.float32]


class Seen(NamedTuple):
    """What stage 1 makes of a batch of windows."""

    feature: Feature
    window_logit: torch.Tensor
    """(B,) of PE."""
    slice_logit: torch.Tensor
    """(B, T) of each slice; the window's own without slice supervision."""


@dataclass(frozen=True, kw_only=True)
class StudyEncoder:
    """A trained stage 1, and how the windows of a study are cut and prepared for it.

    Attributes:
        model: is brought to the engine's device.
        windows: how they are cut, and what the channels are.
        input_px: side of the windows that the model sees.
        batch_size: windows at once, about, and slices at once where the model sees them apart; the last bits of a
            feature can depend on it.
        engine: where and how precisely it computes.
    """

    model: WindowEncoder
    windows: WindowsConfig
    input_px: int
    batch_size: int = 32
    engine: Engine = field(default_factory=Engine)

    def __post_init__(self) -> None:
        """Bring the model to the device, ready to infer."""
        self.model.to(self.engine.device).to(memory_format=torch.channels_last_3d).eval()

    def starts(self, study: Study) -> NDArray[np.int64]:
        """Return the first slice of each window of a study.

        Raises:
            ConfigError: the study has fewer slices than a window.
        """
        return window_starts(len(study.hu), length=self.windows.length, stride=self.windows.stride)

    def passes(self, study: Study, starts: NDArray[np.int64]) -> Iterator[Seen]:
        """Yield what stage 1 makes of a study's windows, batch by batch, in their order.

        Raises:
            StoreError: contrast is to be scaled, and the study's store is too old to tell how bright it is.
        """
        for batch in window_batches(len(starts), self.batch_size):
            yield self._see(study, starts[batch])

    @torch.no_grad()
    def _see(self, study: Study, starts: NDArray[np.int64]) -> Seen:
        first = np.resize(starts, 2) if len(starts) == 1 else starts  # torch has another kernel for a batch of one
        shown = first[:, None] + np.arange(self.windows.length)  # (B, T)
        maps = self._shared_layer2(study, shown) if self.model.slices_apart else self._layer2(study, shown)
        with self.engine.autocast():
            feature = self.model.feature_of(*maps)
            logits = self.model.forward_head(feature)
        window = logits.window.float()
        slices = window.unsqueeze(1) if logits.slices is None else logits.slices
        n = len(starts)
        context = None if feature.context is None else feature.context[:n]
        kept = Feature(feature.pooled[:n], feature.layer2[:n], context)
        return Seen(kept, window[:n], self._by_slice(slices)[:n])

    def _layer2(self, study: Study, slices: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return both layer2 maps (B, C2, T2, H2, W2) of a study's runs of slices, (B, T)."""
        hu = torch.from_numpy(study.hu[slices])  # (B, T, S, S)
        gain = torch.from_numpy(contrast_gain([self._vessel_hu(study)], self.windows))
        x = prepare(hu.to(self.engine.device), gain, self.windows, self.input_px)
        with self.engine.autocast():
            return self.model.forward_layer2(x)

    def _vessel_hu(self, study: Study) -> float:
        if study.vessel_hu is None and self.windows.vessels_to_hu:
            raise no_vessel_hu(f"study {study.uid}")
        return np.nan if study.vessel_hu is None else study.vessel_hu

    def _shared_layer2(self, study: Study, slices: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As `_layer2`, but a slice that several windows have is computed once; `slices_apart` makes it the same."""
        once, place = np.unique(slices, return_inverse=True)  # (n,), (B, T)
        runs = window_batches(len(once), self.batch_size)
        own, context = zip(*(self._layer2(study, once[run, None]) for run in runs), strict=True)
        rows = torch.from_numpy(place.reshape(slices.shape)).to(self.engine.device)
        return _gather(own, rows), None if self.model.context is None else _gather(context, rows)

    def _by_slice(self, runs: torch.Tensor) -> torch.Tensor:
        """Give each slice the logit of its run: (B, T2) -> (B, T)."""
        length = self.windows.length
        return runs[:, torch.arange(length, device=runs.device) * runs.shape[1] // length]

    def encode(self, study: Study) -> StudySequence:
        """Return the windows of a study as features, and the logits of its slices.

        Raises:
            ConfigError: the study has fewer slices than a window.
        """
        starts = self.starts(study)
        seen = [
            tuple(part.float().cpu().numpy() for part in (one.feature.pooled, one.window_logit, one.slice_logit))
            for one in self.passes(study, starts)
        ]
        features, logits, slices = (np.concatenate(part) for part in zip(*seen, strict=True))
        return StudySequence(
            uid=study.uid,
            features=features,
            window_start=starts,
            window_logit=logits,
            window_label=window_labels(study.slice_label, starts, length=self.windows.length),
            slice_logit=_largest(slices, starts, len(study.hu)),
            window_length=self.windows.length,
            source=study.source,
        )


def _gather(maps: Sequence[torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
    """Gather windows (B, C, T, H, W), channels last, from maps of slices (n, C, 1, H, W) by (B, T) rows of them all."""
    return torch.cat(list(maps)).squeeze(2).movedim(1, -1)[rows].movedim(-1, 1)


def window_batches(n: int, size: int) -> list[slice]:
    """Cut n windows (or slices) of a study into batches of about equal size, `size` at most, none of one if n is more.

    The cut depends on n and `size` alone, so a window's batch doesn't depend on other studies. Where `size` leaves no
    other way (1, or 2 for an odd n) a batch has more.
    """
    count = max(1, min(-(-n // size), n // 2))
    edges = [n * place // count for place in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(edges)]


def _largest(slices: FloatArray, starts: NDArray[np.int64], depth: int) -> FloatArray:
    """(N, T) logits of windows' slices -> (D,), the largest of each grid slice."""
    largest = np.full(depth, -np.inf, np.float32)
    np.maximum.at(largest, starts[:, None] + np.arange(slices.shape[1]), slices)
    return largest
