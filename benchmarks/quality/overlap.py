"""How far fingerprints of one scan lie apart, and those of different scans: a table on stdout.

    python -m benchmarks.quality.overlap demo/store

Each study's box is changed as another container, another tool or another box would change it.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pectl.core.stores.fingerprint import BITS, NEAR, fingerprint, nearest
from pectl.core.stores.study_store import StudyStore

Box = NDArray[np.int16]
_NOISE_HU = 20.0


def _in_plane(change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Callable[[Box], Box]:
    """Return what changes each slice."""
    return lambda hu: np.stack([change(plane.astype(np.float32)) for plane in hu]).astype(np.int16)


def _halved(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(plane, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))


def _noisy(hu: Box) -> Box:
    return (hu + np.random.default_rng(0).normal(0, _NOISE_HU, hu.shape)).astype(np.int16)


CHANGES: Mapping[str, Callable[[Box], Box]] = {
    "mirrored left and right": lambda hu: hu[:, :, ::-1],
    "upside down": lambda hu: hu[::-1],
    "mirrored along all axes": lambda hu: hu[::-1, ::-1, ::-1],
    "HU in steps of 25": lambda hu: (np.round(hu / 25) * 25).astype(np.int16),
    "HU cut to -1000 to 1000": lambda hu: np.clip(hu, -1000, 1000),
    f"noise of {_NOISE_HU:g} HU": _noisy,
    "half the matrix": _in_plane(_halved),
    "box one slice shorter": lambda hu: hu[1:],
    "box one pixel narrower on two sides": lambda hu: hu[:, 1:, 1:],
    "box two slices shorter": lambda hu: hu[2:],
    "box three pixels narrower on two sides": lambda hu: hu[:, 3:, 3:],
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.overlap", description=__doc__.split("\n")[0])
    parser.add_argument("store", type=Path, help="a study store")
    parser.add_argument("--changed", type=int, default=40, help="studies that are changed")
    args = parser.parse_args()
    store = StudyStore.open(args.store)
    boxes = [store.read_study(uid).hu for uid in store.uids()]
    prints = [fingerprint(hu) for hu in boxes]
    print(f"{BITS} bits, near up to {NEAR:g}; {len(boxes)} studies\n")
    print("| compared | median | 95 % | largest |\n|---|---|---|---|")
    for name, change in CHANGES.items():
        changed = [fingerprint(change(hu)) for hu in boxes[: args.changed]]
        share = np.array([nearest([a], [b])[0][0] for a, b in zip(changed, prints, strict=False)])
        print(f"| {name} | {np.median(share):.3f} | {np.quantile(share, 0.95):.3f} | {share.max():.3f} |")
    apart = np.concatenate([_all_to(one, prints[place + 1 :]) for place, one in enumerate(prints[:-1])])
    print("\n| different studies, pairs | smallest | 5 % | median | deviation |\n|---|---|---|---|---|")
    low, middle = np.quantile(apart, [0.05, 0.5])
    print(f"| {apart.size:,} | {apart.min():.3f} | {low:.3f} | {middle:.3f} | {apart.std():.3f} |")


def _all_to(one: str, others: list[str]) -> NDArray[np.float64]:
    return nearest(others, [one])[0]


if __name__ == "__main__":
    main()
