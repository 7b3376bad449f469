"""Explain one study: heat on its slices, attention over its windows, and where the heat peaks."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from time import perf_counter
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from pectl.config import WindowsConfig
from pectl.core.batches.windows import window_places
from pectl.core.decisions.heat_scale import HeatReference
from pectl.core.labels.names import EXAM_LABELS, PE_PRESENT, RV_LV
from pectl.core.models.stage1 import Feature, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier, StudyLogits
from pectl.core.stores.study_store import Study
from pectl.errors import ConfigError
from pectl.explanation import heat_geometry as geometry
from pectl.explanation.gradcam import (
    LABELS,
    PE_WINDOW,
    Method,
    Pull,
    SeenWindows,
    WindowHeat,
    context_share,
    join,
    merge,
    pull_of,
    window_heat,
)
from pectl.inference.device import Engine
from pectl.inference.encoder import Seen, StudyEncoder

OWN_PEAK, VALIDATION_REFERENCE = "the study's peak", "the validation reference"
_LEAST_SAID = 1e-6
"""Heat of a label that is surely absent stays a number that float32 holds."""


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The hottest voxel.

    Attributes:
        grid_index: (d, h, w).
        point_mm: (x, y, z) LPS.
        source_index: the nearest original slice, as position in `Study.source`.
        sop_instance_uid: of that slice.
        source_pixel: (row, column) on that slice, fractional.
        slice_label: 1 PE, 0 none, -1 unknown, of the grid slice.
        value: the heat there, as a share of the explanation's `full_scale`.
    """

    grid_index: tuple[int, int, int]
    point_mm: tuple[float, float, float]
    source_index: int
    sop_instance_uid: str
    source_pixel: tuple[float, float]
    slice_label: int
    value: float


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What spoke for one label in one study (D grid slices, n original slices, N windows).

    Attributes:
        label: one of LABELS.
        method: `grad-cam` or `layer-cam`.
        heat: (D, S, S) float32 >= 0 on the study's grid; the mean over the windows that cover a slice. As a share of
            `full_scale`: it is above 1 where a study is hotter than the reference.
        full_scale: what 1 is, in the unit of the method times the label's probability: the reference, or without one
            the study's own peak.
        reference: of validation, which heat is a share of; None where the model has none.
        slice_heat: (D,) maximum of each grid slice.
        source_heat: (n,) heat of each original slice, NaN outside the grid.
        window_start: (N,) first slice of each window of `length` slices.
        window_logit: (N,) stage 1's PE logit.
        refined_logit: (N,) PE logit in the context of the study, by stage 2.
        attention: (9, N) of each exam label over the windows; rows sum to 1.
        exam_score: of the nine labels and `pe_present`, in [0, 1], not calibrated.
        peak: None where nothing spoke for the label.
        left_share: share of the heat on the patient's left; None without heat.
        seconds: what it cost.
    """

    uid: str
    label: str
    method: Method
    heat: NDArray[np.float32]
    slice_heat: NDArray[np.float32]
    source_heat: NDArray[np.float32]
    length: int
    window_start: NDArray[np.int64]
    window_logit: NDArray[np.float32]
    refined_logit: NDArray[np.float32]
    attention: NDArray[np.float32]
    exam_score: dict[str, float]
    peak: Peak | None
    left_share: float | None
    seconds: float
    full_scale: float = 1.0
    reference: HeatReference | None = None

    @property
    def shown(self) -> NDArray[np.float32]:
        """Return the heat as it is drawn, (D, S, S) in [0, 1].

        Above the reference it is clipped. So colours tell flagged studies from cleared ones, at the price that they
        don't tell a hot study from a hotter one; half of the flagged ones reach the last colour.
        """
        return np.minimum(self.heat, np.float32(1))

    @property
    def scale_name(self) -> str:
        """Return what heat is a share of, in a few words."""
        return OWN_PEAK if self.reference is None else VALIDATION_REFERENCE

    @property
    def scale_meaning(self) -> str:
        """Say what a heat of 1 is."""
        return scale_meaning(self.reference)

    def hottest(self, n: int, *, apart: int = 1) -> list[int]:
        """Return up to n grid slices by falling heat, `apart` or more from each other; none without heat."""
        chosen: list[int] = []
        for index in np.argsort(-self.slice_heat, kind="stable"):
            if self.slice_heat[index] <= 0 or len(chosen) == n:
                break
            if all(abs(int(index) - other) >= apart for other in chosen):
                chosen.append(int(index))
        return chosen


@dataclass(frozen=True, kw_only=True)
class Explainer:
    """Both stages of a chain, and how windows were cut and prepared for them.

    Attributes:
        encoder: stage 1.
        classifier: stage 2.
        windows: how stage 1's windows were cut and what its channels are.
        input_px: side of the windows that stage 1 sees.
        label: what to explain, one of LABELS. The context network is shown for RV/LV alone: it sees little of where
            clots lie, and where it is shown for PE too, the peak is an embolus less often.
        engine: where both stages run, and the precision of stage 1's forward pass; heat is computed in fp32 from what
            it makes.
        extract_batch_size: windows in a forward pass, as in extract-features.
        batch_size: windows at once when heat is computed; the layer2 maps of the others wait in memory.
        reference: of validation, for this label and method; without one heat is a share of each study's own peak.

    Raises:
        ConfigError: no such label.
    """

    encoder: WindowEncoder
    classifier: SequenceClassifier
    windows: WindowsConfig
    input_px: int
    label: str = PE_PRESENT
    method: Method = "grad-cam"
    engine: Engine = field(default_factory=Engine)
    extract_batch_size: int = 32
    batch_size: int = 8
    reference: HeatReference | None = None

    def __post_init__(self) -> None:
        """Check the label and bring both stages to the device, ready to infer."""
        if self.label not in LABELS:
            raise ConfigError(
                where="label",
                expected=f"one of {', '.join(LABELS)}",
                found=self.label,
                fix="choose one of these",
            )
        self.encoder.to(self.engine.device).eval()
        self.classifier.to(self.engine.device).eval()

    def explain(self, study: Study) -> Explanation:
        """Explain one study.

        Raises:
            ConfigError: the study has fewer slices than a window.
        """
        begin = perf_counter()
        encoder = StudyEncoder(
            model=self.encoder,
            windows=self.windows,
            input_px=self.input_px,
            batch_size=self.extract_batch_size,
            engine=self.engine,
        )
        starts = encoder.starts(study)
        seen = self._see(encoder.passes(study, starts), starts)
        pull, answer = pull_of(self.classifier, seen.windows, self.label)
        scores = _scores(answer)
        heat = self._heat(study, starts, seen, pull)
        heat *= np.float32(_said(self.label, scores, seen.windows))
        full_scale = self.reference.value if self.reference else float(heat.max()) or 1.0
        heat /= np.float32(full_scale)
        slice_heat = heat.max(axis=(1, 2))
        return Explanation(
            uid=study.uid,
            label=self.label,
            method=self.method,
            length=self.windows.length,
            heat=heat,
            slice_heat=slice_heat,
            source_heat=geometry.source_heat(study, slice_heat),
            window_start=starts,
            window_logit=_numpy(seen.windows.window_logit),
            refined_logit=_numpy(answer.window[0]),
            attention=_numpy(answer.attention[0]),
            exam_score=scores,
            peak=find_peak(study, heat),
            left_share=geometry.left_share(study, heat),
            seconds=perf_counter() - begin,
            full_scale=full_scale,
            reference=self.reference,
        )

    def _see(self, passes: Iterable[Seen], starts: NDArray[np.int64]) -> "_Seen":
        """Run stage 1 forward once; its layer2 maps are kept, as heat starts from them."""
        logits: list[Tensor] = []
        features: list[Feature] = []
        for seen in passes:
            logits.append(seen.window_logit)
            shown = seen.feature if self._shows_context else seen.feature._replace(context=None)
            features += _split(shown, self.batch_size)
        place = torch.from_numpy(window_places(starts, length=self.windows.length)).to(self.engine.device)
        pooled = torch.cat([feature.pooled.float() for feature in features])
        return _Seen(SeenWindows(pooled, torch.cat(logits), place), features)

    def _heat(self, study: Study, starts: NDArray[np.int64], seen: "_Seen", pull: Pull) -> NDArray[np.float32]:
        """Return (D, S, S): the mean of the overlapping windows, enlarged to the grid."""
        depth, side = study.hu.shape[:2]
        length, count = self.windows.length, torch.zeros(depth, 1, 1)
        size = (length, self.input_px, self.input_px)
        totals: Tensor | None = None
        stride = 1
        ends = accumulate(len(feature.pooled) for feature in seen.features)
        for feature, end in zip(seen.features, ends, strict=True):
            place = slice(end - len(feature.pooled), end)
            part = Pull(*(slope[place] for slope in pull))
            found = window_heat(self.encoder, self._ready(feature), size, part, method=self.method)
            stride, maps = found.stride, _all_maps(found)
            totals = torch.zeros(len(maps), depth, *size[1:]) if totals is None else totals
            for start, one in zip(starts[place], maps.unbind(1), strict=True):
                totals[:, start : start + length] += one
                count[start : start + length] += 1
        heat = np.stack([_resize(part, side) for part in cast("Tensor", totals) / count])
        if self.method == "grad-cam":
            return np.asarray(heat[0], np.float32)
        spread = _spread(study, stride * side / self.input_px)
        if not self._shows_context:
            return merge(heat, spread)
        share = context_share(pull, seen.windows, self.encoder.backbone_size)
        return join(merge(heat[:-1], spread), merge(heat[-1:], spread), share)

    @property
    def _shows_context(self) -> bool:
        return self.encoder.context is not None and self.label in RV_LV

    def _ready(self, feature: Feature) -> Feature:
        """Bring the layer2 maps of a batch back to the device, in fp32."""
        maps = (part if part is None else part.to(self.engine.device).float() for part in feature[1:])
        return Feature(feature.pooled, *maps)  # type: ignore[arg-type]  # layer2 is always there


def scale_meaning(reference: HeatReference | None) -> str:
    """Say what a heat of 1 is, given what it is a share of."""
    if reference is None:
        return "100 % is the study's own peak: heat of different studies doesn't compare"
    n, of = reference.n_flagged, reference.n_studies
    return f"100 % is the median peak of the {n} of {of} validation studies that the model flags"


def _spread(study: Study, place: float) -> tuple[float, float, float]:
    """Return the smoothing in voxels: `place` voxels in plane, half of that in mm along the slices.

    No layer strides far along the slices, so maps are finer there.
    """
    along = 0.5 * place * float(study.spacing_mm[1]) / float(study.spacing_mm[0])
    return along, place, place


class _Seen(NamedTuple):
    """What stage 1 makes of a study's N windows."""

    windows: SeenWindows
    features: list[Feature]  # a batch each, layer2 on the CPU: 6 MB a window for r3d_18 at 192 px


def _split(feature: Feature, size: int) -> list[Feature]:
    """Cut what is known of a pass of windows into batches, with the layer2 maps on the CPU."""
    n = len(feature.pooled)
    context = None if feature.context is None else feature.context.cpu()
    layer2, batches = feature.layer2.cpu(), [slice(at, at + size) for at in range(0, n, size)]
    return [Feature(feature.pooled[b], layer2[b], None if context is None else context[b]) for b in batches]


def _all_maps(found: WindowHeat) -> Tensor:
    """Return the maps (M, B, T, H, W) on the CPU, that of the context network last if it is by itself."""
    apart = () if found.context is None else (found.context.unsqueeze(0),)
    return torch.cat([found.maps, *apart]).cpu()


def find_peak(study: Study, heat: NDArray[np.float32]) -> Peak | None:
    """Return the hottest voxel, the first of equals; None where all heat is 0."""
    d, h, w = (int(i) for i in np.unravel_index(int(heat.argmax()), heat.shape))
    if heat[d, h, w] <= 0:
        return None
    point = geometry.grid_to_lps(study.affine, np.array([d, h, w], np.float64))
    source = geometry.nearest_source_slice(study, d)
    row, column = geometry.lps_to_source_pixel(study, source, point)
    return Peak(
        grid_index=(d, h, w),
        point_mm=(float(point[0]), float(point[1]), float(point[2])),
        source_index=source,
        sop_instance_uid=str(study.source.sop_instance_uid[source]),
        source_pixel=(float(row), float(column)),
        slice_label=int(study.slice_label[d]),
        value=float(heat[d, h, w]),
    )


def _said(label: str, scores: dict[str, float], seen: SeenWindows) -> float:
    """Return the probability p of a label that heat is multiplied by; of `pe_window` that of the likeliest window.

    Heat is made of the slope of the label's logit, and where the model clears a study that is often as steep as where
    it flags one. Times p it is the slope of log(1 + exp(logit)) = -log(1 - p): how much less likely the label's absence
    becomes. Within a study nothing changes.
    """
    p = float(seen.window_logit.max().sigmoid()) if label == PE_WINDOW else scores[label]
    return max(p, _LEAST_SAID)


def _scores(answer: StudyLogits) -> dict[str, float]:
    found = {name: float(p) for name, p in zip(EXAM_LABELS, answer.exam[0].detach().sigmoid(), strict=True)}
    return found | {PE_PRESENT: float(answer.pe[0].detach().sigmoid())}


def _resize(heat: Tensor, side: int) -> NDArray[np.float32]:
    """(D, px, px) -> (D, side, side), bilinear."""
    if heat.shape[-1] == side:
        return _numpy(heat)
    size = (side, side)
    return _numpy(F.interpolate(heat.unsqueeze(1), size, mode="bilinear", align_corners=False).squeeze(1))


def _numpy(value: Tensor) -> NDArray[np.float32]:
    return np.asarray(value.detach().cpu().numpy(), np.float32)
