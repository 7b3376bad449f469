"""Where a study store keeps what; reading it brings HDF5, asking whether it is there doesn't."""

from pathlib import Path


def study_path(store: Path, uid: str) -> Path:
    """Return where a store keeps a study; the UID has been checked when it was read."""
    return store / "studies" / f"{uid}.h5"
