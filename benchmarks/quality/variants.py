"""What is compared: our method as the configuration has it, the paper's, and ours with one choice taken back."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Changes of the configuration, as `--set` takes them.

    Attributes:
        name: a word, for the command line and the tables.
        meaning: for readers.
        changes: of windows, stage 1 and stage 2. Variants with equal windows and stage 1 share the training of it.
        doubles_epochs: stage 1 sees its windows twice as often: stride 10 has half as many, and steps are to be equal.
    """

    name: str
    meaning: str
    changes: tuple[str, ...] = ()
    doubles_epochs: bool = False


OURS = "ours"
_NO_AUGMENT = (
    "stage1.augment.flip_left_right=0",
    "stage1.augment.rotation_deg=0",
    "stage1.augment.zoom=[1.0, 1.0]",
    "stage1.augment.shift=0",
    "stage1.augment.offset_hu=0",
    "stage1.augment.noise_hu=0",
    "stage1.augment.contrast_gain=[1.0, 1.0]",
)
_PAPER_CROP = (
    *_NO_AUGMENT[:2],
    "stage1.augment.zoom=[1.1667, 1.1667]",
    "stage1.augment.shift=0.0714",
    *_NO_AUGMENT[4:],
)

VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(name=OURS, meaning="the configuration as it is"),
        Variant(
            name="ma2022",
            meaning="the method of Ma et al. 2022 (rspect_ma2022.toml), with this backbone and input size",
            changes=(
                "windows.stride=10",
                "windows.vessels_to_hu=0",
                "stage1.slice_loss_weight=0",
                "stage1.place_loss_weight=0",
                "stage1.multitask_loss_weight=0",
                "stage1.sampling=natural",
                "stage1.learning_rate=4e-4",
                "stage1.schedule=constant",
                "stage1.weight_decay=0",
                *_PAPER_CROP,
                "stage2.model=tcn",
                "stage2.hidden=128",
                "stage2.causal=true",
                "stage2.dropout=0.2",
                "stage2.epochs=200",
                "stage2.batch_size=64",
                "stage2.learning_rate=5e-4",
                "stage2.weight_decay=0",
                "stage2.schedule=step",
                "stage2.position=false",
                "stage2.head=independent",
                "stage2.ensemble=1",
            ),
            doubles_epochs=True,
        ),
        # stage 1, one choice each
        Variant(
            name="no-slice-loss",
            meaning="stage 1 learns from window labels alone",
            changes=("stage1.slice_loss_weight=0", "stage1.place_loss_weight=0"),
        ),
        Variant(
            name="no-places",
            meaning="stage 1 isn't told where in a slice emboli lie",
            changes=("stage1.place_loss_weight=0",),
        ),
        Variant(name="max-pooling", meaning="a slice is as its largest place", changes=("stage1.slice_pooling=max",)),
        Variant(
            name="no-multitask", meaning="stage 1 has the PE head alone", changes=("stage1.multitask_loss_weight=0",)
        ),
        Variant(
            name="multitask",
            meaning="stage 1 learns side, centrality and acuity too",
            changes=("stage1.multitask_loss_weight=0.3",),
        ),
        Variant(name="no-augmentation", meaning="windows as they are", changes=_NO_AUGMENT),
        Variant(
            name="natural-sampling", meaning="windows as often as they occur", changes=("stage1.sampling=natural",)
        ),
        Variant(
            name="stride-10",
            meaning="windows side by side, each seen twice as often",
            changes=("windows.stride=10",),
            doubles_epochs=True,
        ),
        Variant(
            name="per-slice-hu",
            meaning="each slice scaled by its own minimum and maximum",
            changes=("windows.hu_scaling=per-slice",),
        ),
        Variant(
            name="contrast-gain",
            meaning="each window's contrast medium made fainter or brighter",
            changes=("stage1.augment.contrast_gain=[0.3, 1.3]",),
        ),
        Variant(
            name="contrast-as-it-is",
            meaning="contrast medium isn't brought to one brightness",
            changes=("windows.vessels_to_hu=0",),
        ),
        Variant(name="batch-8", meaning="twice as many steps of 8 windows", changes=("stage1.batch_size=8",)),
        Variant(name="batch-32", meaning="half as many steps of 32 windows", changes=("stage1.batch_size=32",)),
        Variant(name="no-warm-up", meaning="the highest rate at once", changes=("stage1.warmup_fraction=0",)),
        Variant(
            name="constant-rate",
            meaning="no warm-up and no decay, the paper's 4e-4",
            changes=("stage1.schedule=constant", "stage1.learning_rate=4e-4"),
        ),
        Variant(name="group-norm", meaning="group norm for batch norm", changes=("stage1.norm=group",)),
        Variant(name="slim-32", meaning="a backbone twice as wide", changes=("stage1.backbone=slim_32",)),
        # stage 2, one choice each
        Variant(name="causal", meaning="stage 2 looks back only", changes=("stage2.causal=true",)),
        Variant(name="tcn", meaning="the paper's TCN", changes=("stage2.model=tcn",)),
        Variant(name="gru", meaning="a GRU, both ways", changes=("stage2.model=gru",)),
        Variant(
            name="hierarchical",
            meaning="exam labels that cohere by construction",
            changes=("stage2.head=hierarchical",),
        ),
        Variant(name="independent", meaning="nine exam labels by themselves", changes=("stage2.head=independent",)),
        Variant(
            name="positive-windows",
            meaning="negative studies train no window score",
            changes=("stage2.window_loss=positive-studies",),
        ),
        Variant(
            name="no-window-loss", meaning="exam labels alone train stage 2", changes=("stage2.window_loss_weight=0",)
        ),
        Variant(name="no-position", meaning="stage 2 isn't told where a window is", changes=("stage2.position=false",)),
        Variant(name="position", meaning="stage 2 is told where a window is", changes=("stage2.position=true",)),
        Variant(
            name="smoothing", meaning="label smoothing of 0.05 in stage 2", changes=("stage2.label_smoothing=0.05",)
        ),
        Variant(name="focal", meaning="focal loss, gamma 2, in stage 2", changes=("stage2.focal_gamma=2",)),
        Variant(name="one-member", meaning="one stage 2, not several averaged", changes=("stage2.ensemble=1",)),
        Variant(name="ensemble", meaning="five of stage 2, averaged", changes=("stage2.ensemble=5",)),
    )
}
