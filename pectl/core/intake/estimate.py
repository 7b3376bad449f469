"""What preprocessing will need, from the sizes of its images."""

from pectl.config import Config
from pectl.core.storage.estimate import Estimate, held_bytes

STORED_BYTES = 1.0
"""Bytes of a stored voxel: int16, compressed to about half."""

STUDY_COPIES = 8
"""While it is preprocessed, a study is held so many times over as int16: float copies, masks, the result."""

WORKER_BYTES = 250_000_000
"""Of a worker process before it has read anything."""

STUDY_FILE_BYTES = 40_000
"""Of a study's file in a study store, beside its voxels."""


def estimate_preprocess(config: Config, images: list[tuple[int, float]], studies: int, workers: int) -> Estimate:
    """Estimate the preprocessing of studies.

    Args:
        config: the experiment.
        images: of some of the studies, the bytes of their images as int16 and the height they cover in mm.
        studies: number of studies in all.
        workers: processes.
    """
    slices = sum(height for _, height in images) / config.preprocess.slice_spacing_mm
    voxels = slices * config.preprocess.in_plane_px**2 * studies / max(len(images), 1)
    largest = sorted((size for size, _ in images), reverse=True)[:workers]
    others = (workers + 1) * WORKER_BYTES if workers > 1 else 0  # and the one they are copied from
    return Estimate(
        memory=held_bytes() + others + STUDY_COPIES * sum(largest),
        disk=round(voxels * STORED_BYTES) + studies * STUDY_FILE_BYTES,
    )
