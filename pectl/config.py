"""The configuration of one experiment: pydantic models, TOML in and out, digests.

Each default is written once, here. `sample_configs/` holds the experiments that users start from.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pectl.errors import ConfigError, InputMissingError

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Interval = tuple[float, float]


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values don't change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def digest(self) -> str:
        """Return the SHA-256 of the section's canonical JSON, as 64 hex digits."""
        return self._digest_without(set())

    def _digest_without(self, names: set[str]) -> str:
        canonical = json.dumps(self.model_dump(mode="json", exclude=names), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


SeriesRule = Literal["extent", "no_spectral", "no_projection", "original", "contrast", "step", "kernel", "slices"]


class SeriesConfig(Section):
    """Which series of a study is used: axial CT always, and of several the one that these rules put first."""

    prefer: tuple[SeriesRule, ...] = (
        "extent",
        "no_spectral",
        "no_projection",
        "original",
        "contrast",
        "step",
        "kernel",
        "slices",
    )
    """The rules in their order; the first one in which two series differ decides, at last the lower UID. Rule
    `no_spectral`: CT numbers as scanned, then what is computed from several energies. Rule `no_projection`:
    projections, reformats and slabs that overlap come behind. Rule `contrast`: among series that
    are alike until then, less contrast in the pixels comes behind, then no contrast agent in the header."""
    max_lean_deg: Annotated[float, Field(gt=0.0, le=45.0)] = 30.0
    """An image plane that leans more than this isn't axial; gantries tilt by 30 degrees at most."""
    min_extent_mm: Annotated[float, Field(ge=0.0)] = 150.0
    """Rule `extent`: a series that covers so much comes before one that doesn't (bolus tracking, one organ)."""
    max_step_mm: Positive = 2.5
    """Rule `step`: slices no further apart than this come before thicker ones."""
    sharp_kernels: tuple[str, ...] = (
        "*LUNG*",
        "*BONE*",
        "EDGE*",
        "B[5-8]*",
        "B[LRV][5-8]*",
        "I[5-8]*",
        "FC3*",
        "FC[58][0-9]*",
        "[DEL]",
        "Y[B-E]*",
    )
    """Rule `kernel`: kernels whose names fit one of these patterns are sharp, and come after the others."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(set(self.prefer)) < len(self.prefer):
            raise ValueError("prefer names a rule twice")
        return self


class PreprocessConfig(Section):
    """From a DICOM series to the lung box that the study store keeps."""

    slice_spacing_mm: Positive = 1.0
    """Distance between the slices of the store; source slices are resampled to it."""
    in_plane_px: Annotated[int, Field(ge=32, le=1024)] = 224
    """Side of the square the lung box is resampled to; its aspect ratio is kept."""
    lungs: Literal["threshold", "lungmask"] = "threshold"
    """How the lungs are found: by a fast threshold method, or by the U-Net of the extra `lungmask`."""
    lungmask_weights: Path | None = None
    """Weights file of the U-Net, for `lungs = "lungmask"`; nothing is downloaded."""
    margin_mm: Annotated[float, Field(ge=0.0, le=100.0)] = 10.0
    """Kept around the lungs on every side."""
    min_slices: Annotated[int, Field(ge=3)] = 16
    """A series with fewer slices is refused."""
    max_gap_mm: Annotated[float, Field(ge=0.0)] = 10.0
    """Missing slices are interpolated up to this many millimetres; a larger gap refuses the study."""
    series: SeriesConfig = SeriesConfig()
    """The choice among several series of a study."""


class PlacesConfig(Section):
    """Labels from masks and boxes of emboli, where a set gives them."""

    min_area_mm2: Positive = 4.0
    """An image has PE if so much of it is marked, and none if nothing is; its label is unknown in between. 4 mm2 are a
    disc of 2.3 mm, as thin as the thinnest twentieth of real emboli at their thickest; less is the rim of one."""


class SplitConfig(Section):
    """Which studies train, validate and test; disjoint by patient."""

    method: Literal["stratified", "k-fold", "ma2022", "csv", "released"] = "stratified"
    """`stratified` by exam labels, `k-fold` likewise, `ma2022` as the paper (RSPECT only), a table, or as the set of
    `--layout` is released."""
    csv: Path | None = None
    """For method `csv`: a table with the columns StudyInstanceUID and split."""
    val_fraction: Fraction = 0.15
    """Share of studies to validate on, for method `stratified`."""
    test_fraction: Fraction = 0.15
    """Share of studies to test on, for method `stratified`."""
    folds: Annotated[int, Field(ge=3, le=100)] = 5
    """For method `k-fold`: parts of equal size; over all folds each study is tested on once."""
    fold: Annotated[int, Field(ge=0)] = 0
    """For method `k-fold`: the part to test on, from 0 to folds - 1; the next one validates, the rest train."""

    @property
    def test_share(self) -> float:
        """Return about what share of the studies is tested on."""
        return 1 / self.folds if self.method == "k-fold" else self.test_fraction

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.val_fraction + self.test_fraction >= 1.0:
            raise ValueError("val_fraction + test_fraction must leave studies to train on (< 1)")
        if (self.method == "csv") != (self.csv is not None):
            raise ValueError("split.csv is needed by method 'csv' and by no other")
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} must be one of 0 to {self.folds - 1}")
        return self


class WindowsConfig(Section):
    """Windows of consecutive slices, and the HU ranges that become their channels."""

    length: Annotated[int, Field(ge=2, le=64)] = 10
    """Slices in a window."""
    stride: Annotated[int, Field(ge=1)] = 10
    """Slices from one window to the next; at most the length."""
    hu_ranges: dict[str, Interval] = {
        "lung": (-1350.0, 150.0),
        "pe": (-250.0, 450.0),
        "mediastinal": (-160.0, 240.0),
    }
    """Name -> (lower, upper) HU, mapped linearly to [0, 1]; level -600 width 1500 is (-1350, 150)."""
    hu_scaling: Literal["fixed", "per-slice"] = "fixed"
    """`per-slice` then stretches each slice from its own minimum to its own maximum, as the program of the paper does:
    HU lose their meaning; it is there to be measured."""
    vessels_to_hu: Annotated[float, Field(ge=0.0, le=1000.0)] = 400.0
    """HU to which contrast in the great vessels is brought: HU above 80 are scaled by a factor of the study, so that
    faint contrast looks like the contrast of training; 0 leaves HU as they are."""

    @classmethod
    def of_run(cls, written: Mapping[str, object]) -> Self:
        """Return the windows that a run keeps; one made before contrast was scaled doesn't scale it.

        Raises:
            ValueError: they aren't such.
        """
        return cls.model_validate({"vessels_to_hu": 0.0} | dict(written))

    def digest(self) -> str:
        """Return the SHA-256 of the section; where contrast isn't scaled, the one of before it could be."""
        return self._digest_without(set() if self.vessels_to_hu else {"vessels_to_hu"})

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if 0.0 < self.vessels_to_hu < 100.0:
            raise ValueError(
                f"vessels_to_hu {self.vessels_to_hu:g} must be 100 or more, or 0: unenhanced blood has less"
            )
        if self.stride > self.length:
            raise ValueError(f"stride {self.stride} > length {self.length} would skip slices")
        if not self.hu_ranges:
            raise ValueError("hu_ranges needs at least one range")
        for name, (lower, upper) in self.hu_ranges.items():
            if lower >= upper:
                raise ValueError(f"hu_ranges.{name}: lower {lower} must be below upper {upper}")
        return self


class AugmentConfig(Section):
    """Random changes of training windows, made on the training device; never at extraction."""

    flip_left_right: Fraction = 0.5
    """Probability of a mirror image; side labels swap with it."""
    rotation_deg: Annotated[float, Field(ge=0.0, le=180.0)] = 10.0
    """Largest turn in plane, either way."""
    zoom: tuple[Positive, Positive] = (0.9, 1.15)
    """Range of the in-plane magnification; (224/192, 224/192) with shift 1/14 is a random 192 of 224 crop."""
    shift: Annotated[float, Field(ge=0.0, le=0.5)] = 0.05
    """Largest shift as a share of the window's side."""
    offset_hu: Annotated[float, Field(ge=0.0, le=200.0)] = 20.0
    """Largest shift of a window's HU, up or down."""
    noise_hu: Annotated[float, Field(ge=0.0, le=200.0)] = 10.0
    """Largest standard deviation of the noise added to a window."""
    contrast_gain: tuple[Positive, Positive] = (1.0, 1.0)
    """Range of a window's own factor on HU above those of unenhanced soft tissue: vessels fainter or brighter, as at
    another time after the injection; (1, 1) leaves them alone."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name in ("zoom", "contrast_gain"):
            lower, upper = getattr(self, name)
            if lower > upper:
                raise ValueError(f"{name}: lower {lower} must not be above upper {upper}")
        return self


class OptimizerConfig(Section):
    """What both training stages share: optimizer, learning rate over the steps, precision, checkpoints."""

    epochs: Annotated[int, Field(ge=1)]
    """Passes over the training split."""
    batch_size: Annotated[int, Field(ge=1)]
    """Windows (stage 1) or studies (stage 2) in a step."""
    learning_rate: Positive
    """Learning rate, or its peak for schedule `one-cycle`."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    """AdamW's; 0 is plain Adam."""
    schedule: Literal["constant", "step", "one-cycle"] = "constant"
    """How the learning rate changes over the steps."""
    step_epochs: Annotated[int, Field(ge=1)] = 20
    """For schedule `step`: the learning rate is multiplied by step_factor every so many epochs."""
    step_factor: Positive = 0.9
    """See step_epochs."""
    warmup_fraction: Fraction = 0.1
    """For schedule `one-cycle`: share of all steps over which the rate rises to learning_rate."""
    clip_norm: Annotated[float, Field(ge=0.0)] = 0.0
    """Largest gradient norm; 0 leaves gradients alone."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Passes in which a process computes its share of a batch, gradients added up: less memory, the same step, but for
    batch norm, which sees the windows of a pass."""
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Above 0: share of a moving average of the weights that a step keeps; validation and the best model use it."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto` is bf16 where the GPU, or for stage 1 the CPU, has bf16 instructions, and fp32 elsewhere. Some CPUs
    compute gradients in bf16 wrong: they are checked at the start, and `auto` is fp32 there. A CPU without such
    instructions is many times slower in bf16. fp16, with a loss scale, is for GPUs without bf16."""
    checkpoint_minutes: Positive = 15.0
    """Minutes between checkpoints inside an epoch; the end of each epoch has one too."""


class Stage1Config(OptimizerConfig):
    """The window encoder (stage 1)."""

    backbone: str = "r3d_18"
    """`r3d_18`, `mc3_18`, `r2plus1d_18` of torchvision, `r3d_10` with half the blocks of the first, or the small
    `slim_16`, `slim_32`."""
    norm: Literal["batch", "group"] = "batch"
    """`group` normalises groups of channels of each window by itself, whatever the batch (Wu & He 2018); there are no
    Kinetics weights for it."""
    weights: str = "none"
    """`none`, `kinetics400`, the folder of a run of train-stage1, or the path of a .safetensors or .pth file."""
    input_px: Annotated[int, Field(ge=16, le=512)] = 192
    """Side of the square that stage 1 sees; the store's slices are resized to it."""
    slice_loss_weight: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of the per-slice loss inside each window; 0 trains on the window label alone (the paper)."""
    place_loss_weight: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of the loss of places inside slices, for studies whose emboli the store has as masks or boxes; studies
    without train beside them. 0 leaves masks unused. It needs slice_loss_weight."""
    slice_pooling: Literal["log-mean-exp", "max"] = "log-mean-exp"
    """How a slice's logit comes from the logits of its places: `log-mean-exp`, a soft maximum, gives every place a
    share of the gradient and learns many times faster than `max`, the largest (docs/background/quality-stage1.md)."""
    multitask_loss_weight: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of the loss of heads for side, central and chronic PE, asked of windows with PE alone, and for RV/LV, of
    all windows of studies with PE; 0 has none (the paper)."""
    sampling: Literal["natural", "balanced"] = "natural"
    """`balanced` draws positive and negative windows equally often."""
    epochs: Annotated[int, Field(ge=1)] = 20
    batch_size: Annotated[int, Field(ge=1)] = 16
    learning_rate: Positive = 4e-4
    channels_last: bool = True
    """Train with the channels last in memory, the fastest layout on most devices; results differ by rounding alone."""
    compile: bool = False
    """Train through torch.compile: minutes at the start, faster steps on a GPU."""
    extract_batch_size: Annotated[int, Field(ge=1)] = 32
    """Windows at a time in validation and in extract-features."""
    extract_precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of extract-features, and of stage 1's forward pass in explain; `auto` is bf16 where the GPU or CPU has bf16
    instructions and fp32 elsewhere."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of training windows."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.place_loss_weight and not self.slice_loss_weight:
            raise ValueError("place_loss_weight needs a slice_loss_weight above 0: places are those of the slice head")
        if self.norm == "group" and self.weights == "kinetics400":
            raise ValueError(
                "weights 'kinetics400' were made with norm 'batch'; norm 'group' begins from 'none' or a run of its own"
            )
        return self


class Stage2Config(OptimizerConfig):
    """The sequence classifier (stage 2)."""

    model: Literal["tcn", "gru"] = "tcn"
    """Dilated convolutions, or gated recurrent units, over the windows of a study."""
    hidden: Annotated[int, Field(ge=1)] = 128
    """Channels of each layer."""
    levels: Annotated[int, Field(ge=1)] = 2
    """TCN: residual blocks of dilation 1, 2, 4 ...; GRU: layers."""
    kernel_size: Annotated[int, Field(ge=1)] = 3
    """TCN: windows that one convolution sees; odd."""
    causal: bool = False
    """Look at the windows before alone (the paper), not at both sides."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2
    """Share of channels dropped in training."""
    head: Literal["independent", "hierarchical"] = "independent"
    """Exam labels each by itself (the paper), or as one distribution: exam type, then RV/LV, age and location of PE."""
    position: bool = False
    """Tell each window's place along the body: its share of the lung box and its distance from the middle."""
    ensemble: Annotated[int, Field(ge=1, le=32)] = 1
    """Classifiers trained side by side from different first weights; their probabilities are averaged."""
    window_loss_weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Weight of the loss of the window scores beside the loss of the exam labels."""
    window_loss: Literal["all", "positive-studies"] = "all"
    """Windows of all studies alike, or weighted by their study's share of positive images (the paper's code), which
    leaves negative studies out."""
    label_smoothing: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Training targets are moved from 0 and 1 towards 0.5 by this share; validation keeps them."""
    focal_gamma: Annotated[float, Field(ge=0.0, le=5.0)] = 0.0
    """Above 0: focal loss, in which easy cases weigh less (Lin et al. 2017); validation is without."""
    epochs: Annotated[int, Field(ge=1)] = 200
    batch_size: Annotated[int, Field(ge=1)] = 64
    learning_rate: Positive = 5e-4

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.model == "tcn" and self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {self.kernel_size} must be odd so that a window keeps its place")
        return self


class EvaluateConfig(Section):
    """Decisions fitted on validation, and the intervals around what is measured on the evaluated split."""

    indeterminate: Literal["exclude", "as-negative"] = "exclude"
    """Indeterminate studies in `pe_present`: left out, or counted as without PE (the paper)."""
    threshold_rule: Literal["youden", "target-sensitivity", "target-specificity"] = "youden"
    """How the thresholds are chosen on validation."""
    target: Fraction = 0.85
    """The sensitivity or specificity that the rule of that name asks for on validation."""
    calibration: Literal["temperature", "platt", "isotonic", "none"] = "temperature"
    """How probabilities are calibrated on validation."""
    miss_rate: Fraction = 0.05
    """Bound on the share of studies with PE that the abstain band rules out."""
    false_alarm_rate: Fraction = 0.1
    """Bound on the share of studies without PE that the abstain band rules in."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Of all intervals."""
    bootstrap_replicates: Annotated[int, Field(ge=100)] = 1000
    """Replicates of the cluster bootstrap over studies."""
    prevalence: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Share of PE among the patients one has in mind: PPV and NPV are given for it too."""
    submission: bool = True
    """Write `submission.csv`, the consistent predictions as the competition takes them."""


PhantomKernel = Literal["STANDARD", "B30f", "B31f", "I30f", "FC08", "B20f", "LUNG", "B60f"]


class PhantomConfig(Section):
    """The synthetic cohort: how many studies, how large, how hard; the defaults are small and easy."""

    studies: Annotated[int, Field(ge=1)] = 24
    """Number of studies."""
    prevalence: Fraction = 0.4
    """Share of studies with PE."""
    indeterminate_fraction: Fraction = 0.04
    """Share of studies too poor to judge (motion or poor contrast)."""
    matrix_px: Annotated[int, Field(ge=64, le=1024)] = 160
    """Rows and columns of an image."""
    slices: Annotated[int, Field(ge=24, le=1200)] = 72
    """Images of a study; they always span the whole chest."""
    emboli: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (2, 4)
    """Fewest and most emboli of a positive study."""
    embolus_length_mm: tuple[Positive, Positive] = (45.0, 90.0)
    """Length along the vessel."""
    embolus_mm3: tuple[Positive, Positive] | None = None
    """5th and 95th percentile of an embolus' volume: 50 and 26500 in patients. Thickness and length follow from it.

    Few emboli are then more frequent than many; `embolus_length_mm` and `min_artery_radius_mm` have no part.
    """
    lumen_share: tuple[Fraction, Fraction] = (0.55, 0.8)
    """Share of the lumen's cross-section that an embolus takes."""
    min_artery_radius_mm: Positive = 5.0
    """Smallest artery that an embolus starts in."""
    central_share: Fraction = 0.25
    """Share of positive studies made to have an embolus in the trunk or a main artery; others may have one."""
    saddle_share: Fraction = 0.5
    """Share of acute central emboli that ride on the bifurcation of the trunk."""
    chronic_share: Fraction = 0.13
    """Share of positive studies with chronic emboli alone."""
    acute_and_chronic_share: Fraction = 0.07
    """Share of positive studies with both kinds."""
    web_share: Fraction = 0.2
    """Share of chronic emboli that are webs; the others line the wall."""
    rv_strain_share: Fraction = 0.43
    """Share of positive studies with RV/LV >= 1."""
    rv_lv_gap: Annotated[float, Field(ge=0.0, le=0.3)] = 0.06
    """No ratio lies within so much of 1."""
    node_probability: Fraction = 0.1
    """Probability of lymph nodes beside arteries, up to five."""
    flow_probability: Fraction = 0.04
    """Probability of unmixed contrast inside arteries (`flow_artifact`)."""
    mucus_probability: Fraction = 0.05
    """Probability of bronchi filled with mucus."""
    other_defect_probability: Fraction = 0.01
    """Probability of a clot that isn't PE, in a vein (`true_filling_defect_not_pe`)."""
    effusion_probability: Fraction = 0.05
    """Probability of fluid in the chest, for each side."""
    effusion_mm: Interval = (12.0, 50.0)
    """Depth of that fluid at the back; 80 leaves little of a lung."""
    mass_probability: Fraction = 0.0
    """Probability of a tumour of 30 to 110 mm in a lung."""
    collapse_probability: Fraction = 0.0
    """Probability of a collapsed lobe, or of a whole collapsed lung (atelectasis)."""
    arms_down_probability: Fraction = 0.0
    """Probability of arms beside the chest; a field of view of 400 mm or more shows them."""
    deep_table_probability: Fraction = 0.0
    """Probability of a deep table that closes in air around the back."""
    field_of_view_mm: tuple[Positive, Positive] = (325.0, 365.0)
    """Width of an image."""
    compressed_fraction: Fraction = 0.08
    """Share of studies with compressed pixels (JPEG-LS)."""
    kernels: tuple[PhantomKernel, ...] = get_args(PhantomKernel)
    """Convolution kernels that occur; LUNG and B60f are sharp and noisy, FC08 and B20f soft."""
    identity: Literal["hashed", "valid"] = "hashed"
    """hashed: identifiers of 12 hex digits, as in RSPECT; valid: UIDs and attributes that a PACS takes."""
    thickness_to_step: tuple[Positive, ...] = (0.625, 1.0, 1.25, 1.6)
    """Slice thickness over the step between slices, each equally often."""
    pulsation_mm: Interval = (0.5, 1.5)
    """Movement of the heart while a slice is taken."""
    streak_hu: Interval = (4.0, 12.0)
    """Amplitude of the streaks around the superior vena cava; 20 to 50 is severe."""
    contrast_hu: Interval = (320.0, 450.0)
    """HU of the pulmonary arteries; below 80 the scan has no contrast anywhere."""
    noise_hu: Interval = (10.0, 18.0)
    """Standard deviation of the noise in soft tissue for a standard kernel."""
    present_area_mm2: Positive = 20.0
    """An image shows PE when the emboli's mask on it has at least this area."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.prevalence + self.indeterminate_fraction > 1.0:
            raise ValueError("prevalence + indeterminate_fraction must be at most 1")
        if self.chronic_share + self.acute_and_chronic_share > 1.0:
            raise ValueError("chronic_share + acute_and_chronic_share must be at most 1")
        if not (self.kernels and self.thickness_to_step):
            raise ValueError("kernels and thickness_to_step need at least one value each")
        for name, value in self:
            if name not in ("kernels", "thickness_to_step") and isinstance(value, tuple) and value[0] > value[1]:
                lower, upper = value
                raise ValueError(f"{name}: lower {lower} must not be above upper {upper}")
        return self


class Config(Section):
    """One experiment."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of everything random: cohort, split, weights, batches, augmentation, bootstrap."""
    preprocess: PreprocessConfig = PreprocessConfig()
    places: PlacesConfig = PlacesConfig()
    split: SplitConfig = SplitConfig()
    windows: WindowsConfig = WindowsConfig()
    stage1: Stage1Config = Stage1Config()
    stage2: Stage2Config = Stage2Config()
    evaluate: EvaluateConfig = EvaluateConfig()
    phantom: PhantomConfig = PhantomConfig()


SAMPLES = Path(__file__).parent / "sample_configs"
"""The sample configurations, which are part of the package."""


def sample_names() -> list[str]:
    """Return what `load_config` takes instead of a path: the names of the sample configurations, sorted."""
    return sorted(path.stem for path in SAMPLES.glob("*.toml"))


def load_config(path: Path | None, overrides: list[str], seed: int | None = None) -> Config:
    """Read a TOML file (or none), apply `section.key=value` overrides and the seed, and validate once.

    Args:
        path: a file, or the name of a sample configuration, such as `demo`; a file of that name comes first.
        overrides: values that replace the file's.
        seed: replaces the file's.

    Raises:
        InputMissingError: there is neither such a file nor such a sample.
        ConfigError: the TOML or an override can't be parsed, or any keys or values are wrong (all are named).

    Example:
        >>> config = load_config(None, ["stage1.epochs=3", "windows.stride=5"], seed=1)
        >>> config.stage1.epochs, config.windows.stride, config.seed
        (3, 5, 1)
    """
    data = {} if path is None else _read_toml(config_file(path))
    for override in overrides:
        _apply_override(data, override)
    if seed is not None:
        data["seed"] = seed
    return _validated(data, where=path or "--set")


def write_config(config: Config, path: Path) -> None:
    """Write the resolved configuration as TOML; keys without a value are left out."""
    path.write_text(tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)), encoding="utf-8")


def config_file(path: Path) -> Path:
    """Return the file that `--config` means: a path, or the name of a sample configuration.

    Raises:
        InputMissingError: there is neither.
    """
    if str(path) in sample_names() and not path.is_file():  # `demo/` is also what `pectl demo` writes
        return SAMPLES / f"{path}.toml"
    if not path.exists():
        raise InputMissingError(
            where=path,
            expected="a TOML configuration file, or the name of a sample",
            found="neither",
            fix=f"check the path of --config, or give one of {', '.join(sample_names())}",
        )
    return path


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise ConfigError(
            where=path,
            expected="a TOML file",
            found=str(error),
            fix="correct it; --config demo is an example",
        ) from error


def _apply_override(data: dict[str, Any], override: str) -> None:
    """Put `section.key=value` into nested dicts; the value is TOML, or a bare string."""
    dotted, equals, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(
            where=f"--set {override}",
            expected="section.key=value",
            found=repr(override),
            fix="write for example --set stage1.epochs=5",
        )
    for key in keys[:-1]:
        data = data.setdefault(key, {})
        if not isinstance(data, dict):
            raise ConfigError(
                where=f"--set {override}",
                expected="a section before the dot",
                found=f"the value {key!r}",
                fix="remove what follows it",
            )
    data[keys[-1]] = _parse_value(text.strip())


def _parse_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _validated(data: dict[str, Any], *, where: object) -> Config:
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        faults = [_fault(item["loc"], item["msg"], item["type"], item["input"]) for item in error.errors()]
        raise ConfigError(
            where=where,
            expected="known keys with values in range",
            found=f"{len(faults)} fault{'s' if len(faults) > 1 else ''}: " + "; ".join(faults),
            fix="docs/reference/configuration.md lists every key",
        ) from error


def _fault(location: tuple[int | str, ...], message: str, kind: str, value: object) -> str:
    dotted = ".".join(str(part) for part in location) or "config"
    if kind == "extra_forbidden":
        return f"{dotted}: unknown key{_known_keys(location)}"
    if kind == "value_error":
        return f"{dotted}: {message.removeprefix('Value error, ')}"
    return f"{dotted}: {message} (found {value!r})"


def _known_keys(location: tuple[int | str, ...]) -> str:
    """Name the keys that the section of a misspelt key has."""
    model: type[BaseModel] = Config
    for part in location[:-1]:
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ""
        model = annotation
    return f" (known here: {', '.join(model.model_fields)})"
