"""The experiment of the smallest chain that works: seconds on a CPU."""

from pectl.config import PhantomConfig


def tiny_phantom(*, studies: int = 12) -> PhantomConfig:
    """Return the cohort that it is made on: half the studies have PE."""
    return PhantomConfig(
        studies=studies, matrix_px=64, slices=30, prevalence=0.5, indeterminate_fraction=0.0, compressed_fraction=0.0
    )


def tiny_config(*, epochs: int = 1) -> str:
    """Return its configuration.

    Args:
        epochs: of stage 1.
    """
    return f"""
[preprocess]
slice_spacing_mm = 6.0
in_plane_px = 32
margin_mm = 5.0
min_slices = 8
[split]
val_fraction = 0.3
test_fraction = 0.3
[windows]
length = 6
stride = 3
hu_ranges = {{ pe = [-250.0, 450.0] }}
[stage1]
backbone = "slim_16"
input_px = 32
epochs = {epochs}
slice_loss_weight = 1.0
[stage2]
hidden = 8
epochs = 2
[evaluate]
bootstrap_replicates = 100
"""
